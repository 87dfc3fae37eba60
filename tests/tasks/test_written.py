"""Table tasks of language models: which settings they take, what they leave out, and whole runs of both kinds."""

import json

import pytest

from dsee_bench import config, plan, record
from dsee_bench.cli.bench import run
from dsee_bench.config import ConfigError
from dsee_bench.runs import answers, sweep
from dsee_bench.system.shell import as_in_a_shell

COLOURS = ("red", "blue", "green", "black", "white", "brown")


@pytest.fixture
def folder(tmp_path):
    for split, count in (("train", 48), ("dev", 6), ("test", 6)):
        words = [(COLOURS[n % 6], COLOURS[n % 5]) for n in range(count)]
        rows = [{"document": f"{one} and {two}", "summary": one, "all": ["x", one]} for one, two in words]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def words(folder, *more, kind="generation"):
    own = ["task.prompt=summarize: {document} ->", "task.target={summary}"] if kind == "generation" else []
    given = [word.partition("=")[0] for word in more]
    own = [word for word in own if word.partition("=")[0] not in given]
    files = [f"task.split.{split}={split}.jsonl" for split in ("train", "dev")]
    run = ["task=custom", f"task.kind={kind}", "backbone=tiny-gpt2", "train=demo_nlg", f"data_dir={folder}"]
    return as_in_a_shell([*run, "train.epochs=1", "train.retune_epochs=1", *files, *own, *more])


def settings(folder, *more, kind="generation"):
    return plan.read(sweep.resolved(words(folder, *more, kind=kind)))


def test_dev_is_decoded_where_there_is_no_test(folder):
    assert settings(folder).task.decode.splits == ("dev",)
    assert settings(folder, "task.split.test=test.jsonl").task.decode.splits == ("test",)
    assert settings(folder, "task.split.test=test.jsonl", "task.decode.splits=[dev]").task.decode.splits == ("dev",)


def test_a_task_of_another_kind_has_no_such_settings(folder):
    made = settings(folder, "task.texts=[document]", "task.label=summary", kind="classification")
    node = made.config["task"]
    assert [key for key in ("decode", "prompt", "target", "group", "separator") if node[key] is not None] == []
    assert settings(folder, "task.texts=[document]", kind="language_modeling").task.decode is None


WRONG = [
    (["task.prompt=null"], "prompt is not given"),
    (["task.target=null"], "neither target nor references is given"),
    (["task.prompt=summarize"], "names no column"),
    (["task.metrics=[accuracy]"], "no metric 'accuracy' for texts"),
    (["task.answer_pattern=(a"], "answer_pattern='(a' is no regular expression"),
    (["task.labels=[a,b]"], "labels must be null for generation"),
    (["task.decode.splits=[train]"], "splits must name at least one, and not train"),
    (["task.decode=null"], "decode is not given"),
    (["task.truncate=head"], "truncate=head does not go with generation: a text goes on from the end of its prompt"),
    (["task.decode.beams=0"], "task.decode.beams"),
    (["task.prompt={docment}"], "no column 'docment' for {docment}; there is document, summary, all"),
    (["task.target={all.x}"], "no field 'x'"),
]


@pytest.mark.parametrize(("more", "said"), WRONG)
def test_a_wrong_setting_is_named(folder, more, said):
    with pytest.raises((ConfigError, ValueError)) as error:
        settings(folder, *more).load_data()
    assert said in str(error.value)


def test_running_text_takes_one_column(folder):
    with pytest.raises(ConfigError, match="texts must name the one column"):
        settings(folder, "task.texts=[document,summary]", kind="language_modeling")
    with pytest.raises(ConfigError, match=r"metric 'accuracy' scores .*, this task is language_modeling"):
        settings(folder, "task.metrics=[accuracy]", kind="language_modeling")
    made = settings(folder, r"task.separator=\n", kind="language_modeling")
    assert made.task.separator == "\n"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("summarize: {document} ->", "summarize: {document} ->"),
        (r'Say "{document}", now\n', 'Say "{document}", now\n'),
        (r"a\b {document}", r"a\b {document}"),
        ("'{document}: [x]'", "{document}: [x]"),
    ],
)
def test_a_template_is_typed_as_it_reads(folder, template, said):
    made = settings(folder, f"task.prompt={template}").load_data()
    assert made["dev"].examples[1].context == said.replace("{document}", "blue and blue")


def finished(folder, *more, kind="generation"):
    chosen = words(folder, f"results_dir={folder / 'r'}", *more, kind=kind)
    content = sweep.resolved(chosen)
    assert run(content, chosen) == 0
    return record.read(record.path_of(config.run_id(content), folder / "r"))


def test_a_run_writes_texts_and_scores_them(folder):
    found = finished(
        folder, "method=lora", "task.split.test=test.jsonl", "task.references=all", "task.decode.beams=2",
        "task.metrics=[rougeL,exact_match,token_f1]", "task.decode.new_tokens=5", "train.max_length=8",
    )  # fmt: skip
    assert [(score.name, score.split, score.n) for score in found.scores] == [
        ("rougeL", "test", 6), ("exact_match", "test", 6), ("token_f1", "test", 6),
    ]  # fmt: skip
    assert found.data["train"]["cut"] == 48, "prompts of more than max_length tokens are cut, and it is said"
    kept = answers.of_split(answers.path_of(found.run_id, folder / "r"), "test")
    assert kept["references"][1] == ["x", "blue"]
    assert len(kept["answers"]) == 6


def test_a_test_split_without_texts_is_written_for(folder):
    (folder / "bare.csv").write_text("document\nred and blue\n")
    found = finished(folder, "method=full", "task.split.test=bare.csv", "task.decode.splits=[dev,test]")
    assert {score.split for score in found.scores} == {"dev"}
    outputs = folder / "r" / "work" / found.run_id / "outputs.test.txt"
    assert len(outputs.read_text().splitlines()) == 1


@pytest.mark.parametrize("method", ["lora", "dsee", "dsee_structured"])
def test_a_run_reads_running_text(folder, method):
    found = finished(
        folder, f"method={method}", "task.texts=[document]", "train.max_length=32", kind="language_modeling"
    )
    by_name = {score.name: score for score in found.scores}
    assert by_name.keys() == {"perplexity", "word_perplexity"}
    assert 1 < by_name["perplexity"].value < by_name["word_perplexity"].value
    assert found.data["dev"]["n"] == by_name["perplexity"].n
