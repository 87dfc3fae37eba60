"""Decoding: a batch writes what single contexts do, a stopped decode goes on, and whole runs end in scores."""

import dataclasses
import json
import signal

import pytest
import torch
from transformers import GenerationConfig

from dsee_bench import config, plan, record
from dsee_bench.cli.bench import INTERRUPTED, run
from dsee_bench.plan import text as plan_text
from dsee_bench.report.compare import compare_text
from dsee_bench.runs import answers, sweep
from dsee_bench.tasks.generation import Decoding, completions
from dsee_bench.training import decode
from dsee_bench.training.batch import collator, encode, prompts

SEARCH = Decoding(
    beams=3, length_penalty=0.8, no_repeat_ngram=4, new_tokens=12, batch_size=3, splits=("dev",), contexts=None
)
CONTEXTS = [
    "name : the mill | type : pub",
    "name : aromi | type : coffee shop | price : cheap | food : french | area : city centre",
    "name : cocum",
    "name : the mill | type : pub",  # again
    "type : restaurant | family : yes",
    "name : blue spice | type : restaurant | price : moderate",
]


def settings_of(*overrides):
    chosen = ["task=toy_d2t", "backbone=tiny-gpt2", "train=demo_nlg", *overrides]
    return sweep.resolved(chosen)


@pytest.fixture(scope="module")
def loaded():
    """A model that has learned enough to write other texts for other contexts; in float64, where no two tokens are
    so near that rounding chooses."""
    settings = plan.read(settings_of())
    torch.manual_seed(0)
    made = settings.backbone.load_lm()
    rows = encode(completions(settings.task.load(None, 0)["train"]).examples, made.tokenizer, 128)
    optimizer = torch.optim.AdamW(made.model.parameters(), lr=5e-3)
    for _ in range(120):
        chosen = torch.randint(len(rows), (16,)).tolist()
        made.model(**collator(made.tokenizer)([rows[row] for row in chosen])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    made.model.double()
    return made


@pytest.fixture
def calls(monkeypatch):
    """The sizes of the batches that are decoded."""
    sizes = []
    real = decode.write

    def counted(model, tokenizer, given, *more, **how):
        sizes.append(len(given))
        return real(model, tokenizer, given, *more, **how)

    monkeypatch.setattr(decode, "write", counted)
    return sizes


@pytest.mark.parametrize("beams", [1, 3])
def test_a_batch_writes_what_generate_writes_for_each_alone(loaded, tmp_path, beams):
    model, tokenizer = loaded.model, loaded.tokenizer
    search = dataclasses.replace(SEARCH, beams=beams, no_repeat_ngram=0)
    found = decode.decode(model, tokenizer, CONTEXTS, search, tmp_path / "decode.jsonl")
    model.eval()
    alone = []
    for context in CONTEXTS:
        (ids,) = prompts([context], tokenizer, 512)
        plain = GenerationConfig(
            num_beams=beams,
            length_penalty=0.8,
            max_new_tokens=12,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        written = model.generate(torch.tensor([ids]), generation_config=plain)[0, len(ids) :].tolist()
        alone.append(tokenizer.decode(written, skip_special_tokens=True).split("\n\n")[0].replace("\n", " ").strip())
    assert list(found) == alone
    assert len(set(found)) > 1, "the contexts must matter"
    assert found[0] == found[3]


def test_one_beam_takes_the_likeliest_token_each_time(loaded, tmp_path):
    """The search itself, by hand: no cache, no padding, no generate."""
    model, tokenizer = loaded.model, loaded.tokenizer
    search = dataclasses.replace(SEARCH, beams=1, no_repeat_ngram=0)
    found = decode.write(model, tokenizer, prompts(CONTEXTS[:3], tokenizer, 512), search)
    model.eval()
    for context, text in zip(CONTEXTS[:3], found, strict=True):
        (ids,) = prompts([context], tokenizer, 512)
        written = []
        while len(written) < 12 and tokenizer.eos_token_id not in written:
            with torch.no_grad():
                written.append(int(model(torch.tensor([ids + written])).logits[0, -1].argmax()))
        assert text == decode.text_of(written, tokenizer)


def test_no_run_of_tokens_is_written_twice_but_one_of_the_prompt_may_be_copied():
    """Prompt 1 2 3 4, then 1 2 3: LoRA's search lets 4 follow, transformers' own rule does not."""
    rule = decode._NoRepeat(4, prompt=4)
    scores = torch.zeros(1, 6)
    assert rule(torch.tensor([[1, 2, 3, 4, 1, 2, 3]]), scores.clone())[0, 4] == 0
    written = torch.tensor([[9, 9, 9, 9, 1, 2, 3, 4, 1, 2, 3]])
    said = rule(written, scores.clone())
    assert said[0, 4] == -torch.inf
    assert torch.isfinite(said).sum() == 5, "no other token is forbidden"
    assert torch.isfinite(decode._NoRepeat(0, prompt=4)(written, scores.clone())).all(), "0 switches it off"


def test_the_search_follows_that_rule(loaded):
    """With runs of one, no word comes twice; without the rule the same search repeats some."""
    model, tokenizer = loaded.model, loaded.tokenizer
    repeated = {}
    for n in (0, 1):
        search = dataclasses.replace(SEARCH, no_repeat_ngram=n, new_tokens=20)
        texts = [text.split() for text in decode.write(model, tokenizer, prompts(CONTEXTS, tokenizer, 512), search)]
        repeated[n] = sum(len(words) - len(set(words)) for words in texts)
    assert repeated[0] > 0
    assert repeated[1] == 0


@pytest.mark.parametrize(
    ("written", "text", "why"),
    [
        (" a pub .", "a pub .", "outer white space"),
        (" a pub .<end> and more", "a pub .", "what follows the end"),
        (" a pub .\n\nname : x", "a pub .", "what follows a blank line"),
        ("\n\n a pub .", "a pub .", "a blank line before the text ends nothing"),
        (" a\npub .", "a pub .", "one line an output in the file"),
        ("<end>", "", "an empty output stays one"),
    ],
)
def test_where_a_text_is_cut(loaded, written, text, why):
    tokenizer = loaded.tokenizer
    ids = tokenizer(written.replace("<end>", tokenizer.eos_token), add_special_tokens=False)["input_ids"]
    assert decode.text_of(ids, tokenizer) == text, why


def test_each_distinct_context_is_decoded_once(loaded, tmp_path, calls):
    found = decode.decode(loaded.model, loaded.tokenizer, CONTEXTS, SEARCH, tmp_path / "decode.jsonl")
    assert len(found) == 6
    assert calls == [3, 2], "five distinct contexts in batches of three"


@pytest.mark.parametrize(
    ("kept", "again", "why"),
    [
        ("all", [], "all is done"),
        ("first batch", [2], "the second batch is to do"),
        ("torn line", [2], "killed while it wrote the second batch's first line"),
        ("torn batch", [2], "killed between two lines of the second batch, which is done again whole"),
        ("flipped bit", [3], "a letter of the first batch is another, which is done again whole"),
        ("nothing", [3, 2], "killed before the file was there"),
    ],
)
def test_a_stopped_decode_goes_on(loaded, tmp_path, calls, kept, again, why):
    file = tmp_path / "decode.jsonl"
    whole = decode.decode(loaded.model, loaded.tokenizer, CONTEXTS, SEARCH, file)
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    left = {
        "all": lines,
        "first batch": lines[:3],
        "torn line": [*lines[:3], lines[3][:20]],
        "torn batch": lines[:4],
        "flipped bit": [lines[0].replace('"text": "', '"text": "x'), *lines[1:]],
        "nothing": [],
    }[kept]
    file.write_text("".join(left))
    calls.clear()
    assert decode.decode(loaded.model, loaded.tokenizer, CONTEXTS, SEARCH, file) == whole
    assert calls == again, why
    calls.clear()
    assert decode.decode(loaded.model, loaded.tokenizer, CONTEXTS, SEARCH, file) == whole
    assert calls == [], "and is done then"


def test_outputs_of_another_model_or_search_are_not_taken(loaded, tmp_path, calls):
    file = tmp_path / "decode.jsonl"
    decode.decode(loaded.model, loaded.tokenizer, CONTEXTS, SEARCH, file)
    shorter = dataclasses.replace(SEARCH, new_tokens=5)
    decode.decode(loaded.model, loaded.tokenizer, CONTEXTS, shorter, file)
    assert calls == [3, 2] * 2
    bias = loaded.model.transformer.h[0].mlp.c_fc.bias
    with torch.no_grad():
        bias[0] += 1
    try:
        decode.decode(loaded.model, loaded.tokenizer, CONTEXTS, shorter, file)
    finally:
        with torch.no_grad():
            bias[0] -= 1
    assert calls == [3, 2] * 3


def test_a_context_longer_than_the_model_is_cut(loaded, tmp_path):
    (text,) = decode.decode(loaded.model, loaded.tokenizer, ["name : " * 400], SEARCH, tmp_path / "decode.jsonl")
    assert text


def test_the_signature_says_which_references_were_used(tmp_path, monkeypatch):
    """E2E's release and LoRA's copy have other references for the same contexts: 6 BLEU apart."""
    task = plan.read(settings_of("task.decode.splits=[dev]", "task.decode.contexts=2")).task
    dev = dataclasses.replace(task.load(None, 0)["dev"], source="LoRA's copy")
    monkeypatch.setattr(decode, "decode", lambda *_: tuple(example.references[0] for example in dev.examples[:2]))
    (answered,) = decode.answer_texts(None, None, task, {"dev": dev}, tmp_path)
    for score in answered.scores:
        assert "|toy_d2t dev, LoRA's copy, 2 contexts|" in score.signature


# --- whole runs -------------------------------------------------------------------------------------------------------

QUICK = ["train.max_rows=64", "train.epochs=2", "train.retune_epochs=1", "task.decode.contexts=6"]


def run_quick(folder, *overrides):
    content = settings_of(*QUICK, f"results_dir={folder}", *overrides)
    return run(content, list(overrides)), record.path_of(config.run_id(content), folder)


@pytest.mark.parametrize("method", ["full", "lora", "dsee"])
def test_a_run_ends_in_a_record_with_scores_and_outputs(method, tmp_path):
    code, path = run_quick(tmp_path, f"method={method}")
    assert code == 0
    found = record.read(path)
    assert found.status == "finished", found.error
    assert [(score.name, score.split, score.n) for score in found.scores] == [
        (name, split, 6) for split in ("dev", "test") for name in ("BLEU", "ROUGE_L")
    ]
    assert all(score.value is not None and score.signature for score in found.scores)
    first = next(log for log in found.stages if "curve" in log.facts)
    curve = [point["loss"] for point in first.facts["curve"]]
    assert curve[-1] < curve[0], "the loss falls"
    assert [set(point) for point in first.facts["dev"]] == [{"step", "loss"}] * 2
    assert first.facts["steps"] == 4, "64 texts in batches of 32, twice"
    planned = plan.plan(plan.read(found.config | settings_of(*QUICK, f"method={method}"))).final
    assert found.cost("trainable_parameters") == planned.trainable
    assert found.cost("head_parameters") == 0
    assert found.cost("sparsity_masked") == pytest.approx(0.2 if method == "dsee" else 0, abs=1e-4)
    for split in ("dev", "test"):
        outputs = (tmp_path / "work" / found.run_id / f"outputs.{split}.txt").read_text()
        assert outputs.count("\n") == 6
        kept = answers.of_split(answers.path_of(found.run_id, tmp_path), split)
        assert kept["answers"] == outputs.splitlines()
        assert [len(kept[name]) for name in ("references", "categories")] == [6, 6]
    assert "BLEU dev" in compare_text(found, found, tmp_path, []), "its texts can be resampled"


def test_a_run_that_is_stopped_while_it_decodes_goes_on_there(tmp_path, monkeypatch, calls):
    few = ["task.decode.batch_size=2", "task.decode.splits=[dev]", "method=full"]
    counted = decode.write

    def stop(*arguments, **how):
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        return counted(*arguments, **how)

    monkeypatch.setattr(decode, "write", stop)
    code, path = run_quick(tmp_path, *few)
    assert code == INTERRUPTED
    assert record.read(path).status == "interrupted"
    monkeypatch.setattr(decode, "write", counted)
    calls.clear()
    code, path = run_quick(tmp_path, *few)
    assert code == 0
    assert calls == [2], "two of three batches were done"
    went_on = record.read(path)
    assert all(log.facts.get("reused") for log in went_on.stages), "nothing is trained again"

    monkeypatch.setattr(decode, "write", counted)
    _, path = run_quick(tmp_path / "whole", *few)
    assert record.read(path).scores == went_on.scores


def test_other_decode_settings_are_another_run_but_the_same_training(tmp_path):
    _, path = run_quick(tmp_path, "method=full", "task.decode.splits=[dev]")
    _, other = run_quick(tmp_path, "method=full", "task.decode.splits=[dev]", "task.decode.beams=2")
    assert other != path
    assert all(log.facts.get("reused") for log in record.read(other).stages)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["backbone=tiny-bert"], "tiny-bert is an encoder and writes no text"),
        (["task.decode.beams=0"], "beams must be at least 1, got 0"),
        (["task.decode.no_repeat_ngram=-1"], "must be at least 0, got -1"),
        (["task.decode.splits=[train]"], "not train"),
        (["train.label_smoothing=1.0"], r"label_smoothing must lie in \[0, 1\)"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(overrides, message):
    with pytest.raises(config.ConfigError, match=message):
        plan.plan(plan.read(settings_of(*overrides)))


def test_a_split_that_is_not_there_is_told_before_anything_is_trained(tmp_path, capsys):
    code, _ = run_quick(tmp_path, "method=full", "~task.contexts.test", "task.decode.splits=[test]")
    assert code == 1
    assert "asks for test, the data of toy_d2t has train, dev" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("backbone", "rank_4_on_query_and_value"),
    [("gpt2", 147_456), ("gpt2-medium", 393_216), ("gpt2-large", 737_280)],  # layers x 2 x 4 x (hidden + hidden)
)
def test_plans_of_the_published_recipe(backbone, rank_4_on_query_and_value):
    chosen = [f"backbone={backbone}", "task=e2e", "train=lora_e2e", "method=lora", "method.stages.lora.settings.r=4"]
    settings = plan.read(settings_of(*chosen))
    planned = plan.plan(settings)
    assert planned.final.trainable == rank_4_on_query_and_value
    assert planned.steps[-1].steps == 26_290
    assert settings.stages["lora"].settings["lora_dropout"] == 0.1, "the recipe's"
    content = json.loads(plan_text.as_json(planned))
    assert content["parameters"]["head"] == 0
    if backbone == "gpt2":
        assert content["flops"]["dense"] == 32_228_179_968  # science: counted by torch's FlopCounterMode
