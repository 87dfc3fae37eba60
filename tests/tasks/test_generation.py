import gzip
import json

import pytest

from dsee_bench.config import option
from dsee_bench.config.validate import build
from dsee_bench.tasks.e2e import CSV_FILES
from dsee_bench.tasks.generation import Generation, linearise, pairs, read_json, rows_of, scorable

NAMES = ("e2e", "webnlg", "dart")


def node(name, **changes):
    return option("task", name) | changes


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    task = build(node(name), f"task={name}")
    assert (task.name, task.kind, task.labels, task.protocol) == (name, "generation", (), name)
    assert task.rows == {split: texts for split, (_, texts) in task.counts.items()}
    assert {"train", "dev"} <= task.hub.files.keys()
    assert all({"train", "dev", "test"} == form.files.keys() for form in task.forms)


def test_a_metric_of_another_data_set_is_refused():
    with pytest.raises(ValueError, match="no metric 'NIST' for webnlg"):
        build(node("webnlg", metrics=["BLEU", "NIST"]), "task")


def test_lines_and_pairs():
    assert linearise([("A_B", "in", "C"), ("C", "is", "D")]) == "A_B : in : C | C : is : D"
    examples = [Generation("a", ("x", "y")), Generation("b", ()), Generation("c", ("z", "z"))]
    assert pairs(examples) == [("a", "x"), ("a", "y"), ("c", "z"), ("c", "z")]
    kept, outputs = scorable(examples, ["1", "2", ""])
    assert ([example.context for example in kept], outputs) == (["a", "c"], ("1", ""))
    with pytest.raises(ValueError, match="2 outputs for 3 contexts"):
        scorable(examples, ["1", "2"])


def write_e2e(folder, rows=(("name[Aromi]", "Aromi."),)):
    for file in CSV_FILES.values():
        (folder / file).write_text("mr,ref\n" + "".join(f'"{mr}","{ref}"\n' for mr, ref in rows), encoding="utf-8")


def test_splits_and_sizes(tmp_path):
    write_e2e(tmp_path)
    with pytest.raises(ValueError, match=r"4862 contexts and 42061 texts, this has 1 and 1; .* task.counts=null"):
        build(node("e2e"), "task").load(tmp_path, seed=0)
    free = build(node("e2e", counts=None), "task")
    assert list(free.load(tmp_path, seed=0)) == ["train", "dev", "test"]
    assert free.rows == {}
    (tmp_path / CSV_FILES["test"]).unlink()
    assert list(free.load(tmp_path, seed=0)) == ["train", "dev"]
    (tmp_path / CSV_FILES["dev"]).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"no dev split of e2e; accepted, in it or in e2e, e2e-dataset under it"
    ):
        free.load(tmp_path, seed=0)


def test_the_error_names_every_form(tmp_path):
    for name, expected in (
        ("e2e", ("testset_w_refs.csv", "e2e-dataset.zip", "test.txt (LoRA's copy)")),
        ("webnlg", ("testdata_with_lex.xml (the release's XML)", "test.json")),
        ("dart", ("dart-v1.1.1-full-test.json", "dart-v1.1.1-full-test.xml")),
    ):
        with pytest.raises(FileNotFoundError) as error:
            build(node(name), "task").read(tmp_path, "test")
        assert all(part in str(error.value) for part in expected), error.value
    with pytest.raises(FileNotFoundError, match="is no folder"):
        build(node("e2e"), "task").read(tmp_path / "none", "test")


def test_without_files_or_network_the_way_out_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConnectionError, match="data_dir=DIR with e2e's published files"):
        build(node("e2e"), "task").read(None, "test")
    with pytest.raises(ValueError, match="has no test split of dart; set data_dir"):
        build(node("dart"), "task").read(None, "test")


def test_read_json(tmp_path):
    (tmp_path / "a.json").write_text('{"x": "é"}', encoding="utf-8")
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps({"x": "é"}).encode()))
    (tmp_path / "b.json.gz").write_bytes(b"not gzip")
    assert read_json(tmp_path / "a.json") == read_json(tmp_path / "a.json.gz") == {"x": "é"}
    with pytest.raises(ValueError, match=r"b\.json\.gz is not a whole gzip file"):
        read_json(tmp_path / "b.json.gz")


def test_rows_of_a_parquet_cell():
    rows = [{"text": "a", "source": "x"}, {"text": "b", "source": "y"}]
    assert list(rows_of({"text": ["a", "b"], "source": ["x", "y"]})) == list(rows_of(rows)) == rows
