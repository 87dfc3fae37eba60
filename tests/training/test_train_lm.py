"""Tuning a language model: accumulated parts, label smoothing, penalties, the checkpoint of least dev loss."""

import dataclasses
import tempfile
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from dsee_bench import config, plan
from dsee_bench.runs import sweep
from dsee_bench.stages.tune import Tune
from dsee_bench.tasks.generation import completions
from dsee_bench.training.batch import collator, encode
from dsee_bench.training.job import Job, Setup
from dsee_bench.training.train import tune

# transformers takes a language model's loss in float32: about 500 tokens add up, each rounded by 2^-24.
NOISE = 500 * 2**-24


def job(tmp_path, *overrides):
    chosen = ["task=toy_d2t", "backbone=tiny-gpt2", "train=demo_nlg", "method=full", "train.precision=fp32"]
    sizes = ["train.max_rows=32", "train.epochs=1", "train.batch_size=16", "train.max_grad_norm=null"]
    settings = plan.read(sweep.resolved([*chosen, *sizes, *overrides]))
    torch.manual_seed(0)
    loaded = settings.backbone.load_lm()
    for module in loaded.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    loaded.model.double()  # so that the loss is all that rounds
    data = settings.task.load(None, 0)
    (stage,) = settings.stages.values()
    assert isinstance(stage, Tune)
    return Job(
        name="tune",
        model=loaded.model,
        setup=Setup(loaded.tokenizer, settings.task, settings.recipe, "cpu"),
        train=completions(data["train"]),
        dev=dataclasses.replace(data["dev"], examples=data["dev"].examples[:8]),
        epochs=stage.epochs,
        learning_rate=stage.learning_rate,
        seed=0,
        folder=Path(tempfile.mkdtemp(dir=tmp_path)),  # none goes on from another
        masks=(),
        after_step=(),
        penalties=(),
    )


def first_gradient(tmp_path, *overrides, penalty=None):
    """The gradient of the first step, and the training loss that is reported."""
    found = []
    tmp_path.mkdir()
    one = job(tmp_path, *overrides)
    weight = one.model.transformer.h[0].mlp.c_fc.weight
    hooks = (Mock(side_effect=lambda _: found.append(weight.grad.clone()), state_dict=dict),)
    penalties = () if penalty is None else (lambda: penalty(weight),)
    report = tune(dataclasses.replace(one, after_step=hooks, penalties=penalties))
    return found[0], report.curve[0]["loss"]


@pytest.mark.parametrize(
    ("settings", "penalty"),
    [
        ((), None),
        (("train.label_smoothing=0.1",), None),
        ((), lambda weight: 3 * weight.square().sum()),
    ],
    ids=["plain", "label smoothing", "penalty"],
)
def test_accumulated_parts_have_the_gradient_of_whole_batches(tmp_path, settings, penalty):
    """Parts differ in their number of tokens, so a mean of their means would differ too."""
    whole, whole_loss = first_gradient(tmp_path / "whole", *settings, penalty=penalty)
    parts, parts_loss = first_gradient(
        tmp_path / "parts", *settings, "train.gradient_accumulation_steps=4", penalty=penalty
    )
    assert torch.allclose(whole, parts, rtol=0, atol=NOISE * float(whole.abs().max()))
    assert parts_loss == pytest.approx(whole_loss, rel=NOISE)


def test_label_smoothing_spreads_a_share_over_all_tokens(tmp_path):
    """By hand, on the untrained model: 0.9 of -log p of the token, 0.1 of the mean of -log p over the vocabulary."""
    settings = ("train.label_smoothing=0.1", "train.max_rows=16")
    one = job(tmp_path, *settings)
    batch = collator(one.setup.tokenizer)(
        encode(one.train.examples[:16], one.setup.tokenizer, one.setup.recipe.max_length)
    )
    with torch.no_grad():
        logs = one.model(**batch).logits.double().log_softmax(-1)
    said = [
        (-0.9 * row[at - 1, label] - 0.1 * row[at - 1].mean()).item()
        for row, labels in zip(logs, batch["labels"].tolist(), strict=True)
        for at, label in enumerate(labels)
        if label != -100
    ]
    assert tune(one).curve[0]["loss"] == pytest.approx(sum(said) / len(said), rel=NOISE)


def test_the_checkpoint_of_least_dev_loss_is_handed_on(tmp_path):
    """A rate that wrecks the model late: best keeps an earlier loss."""
    one = job(
        tmp_path, "train.epochs=5", "train.lr_scheduler_type=constant", "train.select_on=dev", "train.dev_rows=16"
    )
    report = tune(dataclasses.replace(one, learning_rate=0.3))
    losses = {point["step"]: point["loss"] for point in report.dev}
    assert losses[report.best_step] == min(losses.values())
    rows = encode(completions(one.dev).examples[:16], one.setup.tokenizer, one.setup.recipe.max_length)
    one.model.eval()
    with torch.no_grad():
        loss = float(one.model(**collator(one.setup.tokenizer)(rows)).loss)
    assert loss == pytest.approx(min(losses.values()), rel=NOISE)


def test_dev_may_be_measured_on_its_first_rows(tmp_path):
    one = job(tmp_path, "train.dev_rows=3", "train.select_on=last")
    (said,) = (point["loss"] for point in tune(one).dev)
    rows = encode(completions(one.dev).examples[:3], one.setup.tokenizer, one.setup.recipe.max_length)
    one.model.eval()
    with torch.no_grad():
        assert said == pytest.approx(float(one.model(**collator(one.setup.tokenizer)(rows)).loss), rel=NOISE)


def test_label_smoothing_is_refused_for_numbers():
    settings = plan.read(sweep.resolved(["task=stsb", "train.label_smoothing=0.1"]))
    with pytest.raises(config.ConfigError, match="stsb is of kind regression"):
        plan.plan(settings)
