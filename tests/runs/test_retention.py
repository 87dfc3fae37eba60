"""evaluate_on: what a run's model can still do on other tasks, before, between and after its tunings."""

import json
import math

import pytest
import torch

from dsee_bench import config, plan, record
from dsee_bench.cli.bench import run
from dsee_bench.config import ConfigError
from dsee_bench.plan import text as plan_text
from dsee_bench.report.status import sweep_text
from dsee_bench.runs import sweep
from dsee_bench.runs.pipeline import prepare

TEXT = "the quick brown fox jumps over the lazy dog , and the dog sleeps on .\n"
DECODER = [
    *("backbone=tiny-gpt2", "task=toy_d2t", "method=lora_omp", "threads=1", "device=cpu", "train.precision=fp32"),
    *("train.max_rows=32", "train.epochs=1", "train.retune_epochs=1", "train.max_length=48", "train.lr_adapter=1e-2"),
    *("task.contexts={train: 16, dev: 4, test: 4}", "task.decode.new_tokens=4"),
]
CLASSIFIER = [
    *("backbone=tiny-bert", "task=toy_sentences", "method=dsee", "threads=1", "device=cpu", "train.precision=fp32"),
    *("train.max_rows=32", "train.epochs=1", "train.retune_epochs=1", "train.max_length=32"),
]


def finish(folder, *words):
    resolved = sweep.resolved([*words, f"results_dir={folder}/results"])
    assert run(resolved) == 0
    return record.read(record.path_of(config.run_id(resolved), folder / "results"))


@pytest.fixture
def wikitext(tmp_path):
    """The words that ask for WikiText-2, whose files are a few lines."""
    for name in ("train", "valid", "test"):
        (tmp_path / f"wiki.{name}.raw").write_text(TEXT * 8)
    return ["evaluate_on=[wikitext2]", f"evaluate_data_dir={tmp_path}"]


def untouched(words, folder):
    state, _ = prepare(plan.read(sweep.resolved(words)), folder)
    return state.model.eval(), state.setup.tokenizer


def perplexity(model, rows):
    """exp of the mean loss of a token; the loss is transformers' own."""
    with torch.no_grad():
        losses = [(model(ids, labels=labels).loss.item(), int((labels[:, 1:] != -100).sum())) for ids, labels in rows]
    return math.exp(sum(loss * count for loss, count in losses) / sum(count for _, count in losses))


def test_a_language_model_on_running_text(wikitext, tmp_path, capsys):
    plain = finish(tmp_path / "plain", *DECODER)
    found = finish(tmp_path / "kept", *DECODER, *wikitext)
    assert found.run_id == plain.run_id
    assert found.scores == plain.scores  # nothing of it moves the run
    assert [stage.facts.get("curve") for stage in found.stages] == [stage.facts.get("curve") for stage in plain.stages]
    moments = [(kept.task, kept.split, kept.name, kept.after) for kept in found.retention]
    names = ("perplexity", "word_perplexity")
    assert moments == [("wikitext2", "test", name, after) for after in (None, "tune", "retune") for name in names]
    model, tokenizer = untouched(DECODER, tmp_path)
    ids = torch.tensor(tokenizer(TEXT * 8, add_special_tokens=False)["input_ids"])
    blocks = [(block[None], block[None]) for block in ids.split(48) if len(block) > 1]
    assert found.retention[0].value == pytest.approx(perplexity(model, blocks), rel=1e-5)
    assert found.retention[0].n == len(blocks)
    assert "wikitext2 test perplexity" in capsys.readouterr().out


def test_a_language_model_on_texts_after_their_prompts(tmp_path):
    words = [*DECODER, "method=untuned", "task=toy_d2t"]
    found = finish(tmp_path, *words, "evaluate_on=[toy_d2t]", "evaluate_rows=2")
    (kept,) = found.retention
    assert (kept.after, kept.name, kept.n) == (None, "perplexity", 6)  # two contexts of three sentences
    model, tokenizer = untouched(words, tmp_path)
    test = plan.read(sweep.resolved(["task=toy_d2t"])).task.load(None, 0)["test"]
    rows, end = [], [tokenizer.eos_token_id]
    for example in test.examples[:2]:
        for text in example.references:
            prompt = tokenizer(example.context, add_special_tokens=False)["input_ids"]
            answer = tokenizer(f" {text}", add_special_tokens=False)["input_ids"]
            answer = [*answer, *end][:47]
            prompt = [*prompt[: 47 - len(answer)], *end]
            rows.append((torch.tensor([prompt + answer]), torch.tensor([[-100] * len(prompt) + answer])))
    assert kept.value == pytest.approx(perplexity(model, rows), rel=1e-5)


def test_a_classifier_answers_with_its_own_head(tmp_path):
    found = finish(tmp_path, *CLASSIFIER, "evaluate_on=[toy_sentences]")
    assert [kept.after for kept in found.retention] == ["tune", "retune"]
    assert found.retention[-1].sha256 == found.data["dev"]["sha256"]  # the same rows, so the same score
    assert found.retention[-1].value == found.score("accuracy")


def test_a_finished_run_is_scored_later_and_once(wikitext, tmp_path, capsys):
    before = finish(tmp_path, *DECODER)
    assert not before.retention
    (cell,) = sweep.expand([*DECODER, *wikitext, f"results_dir={tmp_path}/results"])
    assert sweep.unfinished([cell]) == [cell]
    asked = [[*DECODER, *wikitext], tmp_path / "results"]
    assert f"not yet scored on all of evaluate_on:\n  {before.run_id}: wikitext2\n" in sweep_text(*asked)
    after = finish(tmp_path, *DECODER, *wikitext)
    assert (after.scores, after.costs, after.stages) == (before.scores, before.costs, before.stages)
    assert [kept.after for kept in after.retention[::2]] == [None, "tune", "retune"]
    assert "measured" in after.made_by
    assert "not yet scored" not in sweep_text(*asked)
    capsys.readouterr()
    assert finish(tmp_path, *DECODER, *wikitext) == after
    assert "is done already" in capsys.readouterr().out


def test_a_record_without_it_has_no_such_field(tmp_path):
    found = finish(tmp_path, *DECODER, "method=untuned")
    path = record.path_of(found.run_id, tmp_path / "results")
    assert "retention" not in json.loads(path.read_text())
    assert record.read(path) == found


REFUSED = [
    ([*CLASSIFIER, "evaluate_on=[toy_pairs]"], "toy_pairs has the labels entailment, not_entailment"),
    ([*CLASSIFIER, "evaluate_on=[stsb]"], "stsb is of kind regression, and toy_sentences of kind classification"),
    ([*CLASSIFIER, "evaluate_on=[wikitext2]"], "a language model is scored on texts, a model with a head on answers"),
    ([*DECODER, "evaluate_on=[sst2]"], "sst2 is of kind classification, and toy_d2t of kind generation"),
    ([*DECODER, "evaluate_on=[wikitext3]"], "names 'wikitext3', which is no task; did you mean 'wikitext'"),
    ([*DECODER, "evaluate_on=[toy_d2t,toy_d2t]"], "names toy_d2t twice"),
    ([*CLASSIFIER, "method=majority", "evaluate_on=[toy_sentences]"], "method majority has no model to score"),
    ([*CLASSIFIER, "method=untuned", "evaluate_on=[toy_sentences]"], "method untuned tunes no head"),
    ([*DECODER, "evaluate_on=[toy_d2t]", "evaluate_rows=0"], "evaluate_rows must be at least 1"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_a_task_that_does_not_fit_is_refused_by_the_plan(words, message):
    with pytest.raises(ConfigError, match=message):
        plan.plan(plan.read(sweep.resolved(words)))


def test_the_plan_says_when_it_is_scored():
    planned = plan.plan(plan.read(sweep.resolved([*DECODER, "evaluate_on=[toy_d2t]"])))
    line = "Also scored on toy_d2t: before the first stage, after tune, after retune."
    assert line in plan_text.as_text(planned).splitlines()
    asked = json.loads(plan_text.as_json(planned))["evaluate_on"]
    assert asked == {"tasks": ["toy_d2t"], "after": [None, "tune", "retune"]}
