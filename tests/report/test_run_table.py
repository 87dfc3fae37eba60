"""The table at the end of a run."""

from dataclasses import replace

from made_up import synthetic

from dsee_bench.monitoring.run_table import run_table
from dsee_bench.record import Cost


def cells(text):
    head, _, *lines = text.splitlines()
    places = [head.index(word) for word in ("method", "trainable", "sparsity", "FLOPs ", "FLOPs saved", "checkpoint")]
    return [[line[a:b].strip() for a, b in zip(places, [*places[1:], None], strict=True)] for line in lines]


def test_it_shows_score_parameters_sparsity_and_flops():
    text = run_table(synthetic(value=0.58123, sparsity=0.2, parameters=76_802))
    assert "accuracy" in text.splitlines()[0]
    ((run, *costs),) = cells(text)
    assert run.split() == ["dsee", "minilm", "rte", "dev", "0.5812"]
    assert costs == ["76,802", "20.0%", "2,000,000,000", "25.0%", "best dev"]


def test_what_was_not_had_is_a_dash():
    record = synthetic(value=None)
    ((run, *costs),) = cells(run_table(replace(record, costs=(Cost("flops_saved", None, "share", ""),))))
    assert run.split()[-1] == "–"
    assert costs == ["–", "–", "–", "–", "best dev"]
