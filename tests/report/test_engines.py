"""The table of engines: scores and times of what would really run, and why an engine has none."""

from dataclasses import replace

import pytest

from dsee_bench import record
from dsee_bench.config import CONF
from dsee_bench.record import Cost, Deployment
from dsee_bench.report import render
from dsee_bench.report.engines import on_engines
from dsee_bench.report.records import read_all
from dsee_bench.report.spec import read_spec
from dsee_bench.report.tables import report

MACHINE = {"device": "a made-up processor", "isa": "AVX2", "threads": 1, "packages": {"torch": "1"}}


def measured(run, value, **of):
    scores = tuple(replace(score, value=value) for score in run.scores)
    fields = {"machine": MACHINE, "batch": 32, "tokens": 128, "precision": "fp32", "rounds": 9, "ratio": 0.5}
    return Deployment(**fields | {"scores": scores, "interval": (0.4, 0.6), "quartiles_ms": (1.0, 2.0)} | of)


@pytest.fixture
def run(make):
    made = replace(make(seed=0, value=0.8), costs=(Cost("latency_ms", 1.0, "ms", "the run's own"),))
    engines = (
        measured(made, 0.8, engine="torch", latency_ms=75.0, latency_dense_ms=100.0, bytes=4_000_000),
        measured(made, 0.7, engine="onnxruntime_int8", latency_ms=30.0, latency_dense_ms=40.0, bytes=1_000_000),
        Deployment(engine="torch_2_4", reason="needs a card"),
    )
    return replace(made, engines=engines)


def test_a_row_for_each_engine_with_its_scores_and_times(run, tmp_path):
    record.write(run, tmp_path)
    made = report(tmp_path, ["engines"])
    assert made.refused == []
    (table,) = made.tables
    rows = {row["Method"]: row for row in render.grid(table, render.MARKDOWN).to_dict("records")}
    shown = ["rte accuracy", "Time saved", "Known to ±", "Beside torch", "Final, ms", "Dense, ms", "Bytes"]
    values = {name: [row[column] for column in shown] for name, row in rows.items()}
    # 1 - 30/40 = 25 % beside the same engine, 1 - 30/100 = 70 % beside torch; half of 0.4 to 0.6 is 10 %.
    assert values == {
        "dsee (engine=onnxruntime_int8)": ["70.0 (1)", "25.0 %", "10.0 %", "70.0 %", "30.0", "40.0", "1.0 M"],
        "dsee (engine=torch)": ["80.0 (1)", "25.0 %", "10.0 %", "25.0 %", "75.0", "100.0", "4.0 M"],
        "dsee (engine=torch_2_4)": ["–"] * 7,
    }
    assert f"torch_2_4: needs a card ({run.run_id})" in table.notes


def test_other_tables_do_not_see_engines(run, make, tmp_path):
    record.write(run, tmp_path)
    record.write(make(seed=1), tmp_path)
    (table,) = report(tmp_path, ["all"]).tables
    assert [row.label for row in table.rows] == ["dsee"]
    assert table.rows[0].variant.runs["value"].tolist() == [0.8, 0.5]


def test_a_record_comes_back_whole_from_its_file_and_from_the_cache(run, tmp_path):
    path = record.write(run, tmp_path)
    assert record.read(path) == run
    assert read_all(tmp_path).records[0].engines == run.engines
    assert read_all(tmp_path).records[0].engines == run.engines  # the second time from the cache


def test_a_record_without_engines_is_written_as_before(make, tmp_path):
    assert '"engines"' not in record.write(make(), tmp_path).read_text()
    assert list(on_engines([make()])) == []


def test_a_newer_measuring_of_an_engine_takes_the_place_of_the_older(run):
    newer = replace(run.engines[0], latency_ms=50.0)
    found = run.with_engines((newer,)).engines
    assert [(one.engine, one.latency_ms) for one in found] == [
        ("onnxruntime_int8", 30.0), ("torch_2_4", None), ("torch", 50.0)
    ]  # fmt: skip


def test_the_table_is_well_described():
    assert read_spec(CONF / "table" / "engines.yaml").engines
