"""Records of schema 1 in the names of schema 2: every renamed key, no changed value, files under their new ids."""

import json

import pytest

from dsee_bench import record
from dsee_bench.cli import report
from dsee_bench.config import run_id

OLD = {
    "run_id": "rte-bert-dsee-s0-00000000",
    "status": "ok",
    "config": {
        "seed": 0,
        "backbone": {"_target_": "dsee_bench.backbones.bert.Bert", "name": "bert", "hidden": 8},
        "task": {"_target_": "dsee_bench.tasks.glue.Glue", "name": "rte"},
        "train": {
            "accumulate": 2, "full_rate": 1e-5, "update_rate": 1e-3, "retune_rate": None, "schedule": "linear",
            "warmup": 0.06, "clip": 1.0, "eval_every": "epoch", "update_dropout": None, "epochs": 3,
            "checkpoint": "best",
        },
        "method": {
            "name": "dsee",
            "stages": {
                "sparse": {"_target_": "dsee_bench.stages.attach.SparseEntries", "kept": 64, "where": "random"},
                "start": {"_target_": "dsee_bench.stages.quirks.GenericStart", "u": True},
                "tune": {"_target_": "dsee_bench.stages.tune.Tune", "what": "update"},
                "gradual": {
                    "_target_": "dsee_bench.stages.gradual.GradualPrune", "what": "all",
                    "prune": {"_target_": "dsee_bench.stages.prune.PruneWeights", "within": None, "mask_update": True},
                },
                "narrow": {"_target_": "dsee_bench.stages.narrow.Narrow", "over": "layer"},
            },
        },
    },
    "made_by": {
        "command": "dsee-bench method=dsee method.stages.sparse.kept=64 train.update_rate=1e-3", "seconds": 9.5,
    },
    "error": None,
    "checkpoint": "last",
    "scores": [],
    "costs": [{"name": "adapter_parameters", "value": 9, "unit": "parameters", "counts": "the update's, no head"}],
    "stages": [
        {"name": "sparse", "seconds": 0.25, "peak_memory": None, "facts": {"entries_per_site": 64, "where": "random"}},
    ],
    "data": {},
    "schema": 1,
}  # fmt: skip
CONFIG = {
    "seed": 0,
    "backbone": {"_target_": "dsee_bench.models.bert.Bert", "name": "bert", "hidden": 8},
    "task": {"_target_": "dsee_bench.tasks.glue.Glue", "name": "rte"},
    "train": {
        "gradient_accumulation_steps": 2, "lr_full": 1e-5, "lr_adapter": 1e-3, "lr_retune": None,
        "lr_scheduler_type": "linear", "warmup_ratio": 0.06, "max_grad_norm": 1.0, "eval_strategy": "epoch",
        "adapter_dropout": None, "epochs": 3, "select_on": "dev",
    },
    "method": {
        "name": "dsee",
        "stages": {
            "sparse": {"_target_": "dsee_bench.stages.attach.SparseEntries", "num_entries": 64, "placement": "random"},
            "start": {"_target_": "dsee_bench.stages.generic_start.GenericStart", "u": True},
            "tune": {"_target_": "dsee_bench.stages.tune.Tune", "parameters": "adapter"},
            "gradual": {
                "_target_": "dsee_bench.stages.gradual.GradualPrune", "parameters": "all",
                "prune": {"_target_": "dsee_bench.stages.prune.PruneWeights", "scope": "model", "mask_adapter": True},
            },
            "narrow": {"_target_": "dsee_bench.stages.narrow.Narrow", "scope": "layer"},
        },
    },
}  # fmt: skip


@pytest.fixture
def results(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / f"{OLD['run_id']}.json").write_text(json.dumps(OLD))
    (tmp_path / "work" / OLD["run_id"]).mkdir(parents=True)
    return tmp_path


def test_an_old_record_is_refused_with_the_command_that_carries_it_over(results):
    with pytest.raises(ValueError, match=r"has schema 1, this version reads 2; `dsee-report migrate` carries it over"):
        record.read(results / "runs" / f"{OLD['run_id']}.json")


def test_a_record_is_carried_over_once(results, capsys):
    assert report.main(["migrate", "--results", str(results)]) == 0
    (path,) = (results / "runs").iterdir()
    found = record.read(path)
    assert found.config == CONFIG
    assert found.run_id == path.stem == run_id(CONFIG) != OLD["run_id"]
    assert found.status == "finished"
    assert found.stages[0].facts == {"num_entries": 64, "placement": "random"}
    assert [(cost.value, cost.counts) for cost in found.costs] == [(9, "the adapter's, no head")]
    command = "dsee-bench method=dsee method.stages.sparse.num_entries=64 train.lr_adapter=1e-3"
    assert found.made_by == {"command": command, "seconds": 9.5}
    assert [folder.name for folder in (results / "work").iterdir()] == [found.run_id]
    assert "1 records carried over" in capsys.readouterr().out
    before = path.read_bytes()
    report.main(["migrate", "--results", str(results)])
    assert path.read_bytes() == before
    assert "0 records carried over" in capsys.readouterr().out


WARM_UPS = [
    (
        {"warmup": 500, "eval_every": 50},
        {"warmup_ratio": 0.0, "warmup_steps": 500, "eval_strategy": "steps", "eval_steps": 50},
    ),
    ({"warmup": 0.0, "eval_every": "epoch"}, {"warmup_ratio": 0.0, "eval_strategy": "epoch"}),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), WARM_UPS)
def test_two_settings_of_one_key_get_a_key_each(old, new):
    from dsee_bench.runs.migrate import schema_2

    changed = {**OLD, "config": {**OLD["config"], "train": old}}
    assert schema_2(changed)["config"]["train"] == new


def test_nothing_is_replaced_and_what_cannot_be_read_is_named(results, capsys):
    target = results / "runs" / f"{run_id(CONFIG)}.json"
    target.write_text('{"schema": 2}')
    assert report.main(["migrate", "--results", str(results)]) == 1
    assert "which is another record; move one of them away" in capsys.readouterr().err
    assert target.read_text() == '{"schema": 2}'
    target.unlink()
    (results / "runs" / "a.json").write_text("half")
    assert report.main(["migrate", "--results", str(results)]) == 1
    assert "a.json is not JSON" in capsys.readouterr().err
