"""One tuning: accumulated batches, masks against any optimizer, best and last checkpoints."""

import dataclasses
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from tiny_jobs import job, weights

from dsee_bench import plan
from dsee_bench.record import Score
from dsee_bench.runs import sweep
from dsee_bench.system import distributed
from dsee_bench.tasks.generation import completions
from dsee_bench.training.evaluate import evaluate
from dsee_bench.training.train import loss_batches, tune
from dsee_bench.training.trainer import SaveBetween


def test_accumulated_parts_give_the_same_steps_as_whole_batches(tmp_path):
    """transformers' Trainer multiplies a classifier's loss by the number of parts unless told otherwise."""
    same = ["train.select_on=last", "train.max_grad_norm=null", "train.batch_size=16", "train.epochs=1"]
    ends = []
    for accumulate in (1, 4):
        one = job(tmp_path, *same, f"train.gradient_accumulation_steps={accumulate}")
        one.model.double()
        assert tune(one).steps == 4
        ends.append(weights(one.model))
    # A gradient that rounds by 1e-16 moves a step of AdamW by at most 1e-3 x 1e-16 / eps 1e-8.
    assert torch.allclose(*ends, rtol=0, atol=1e-9)


def test_accumulated_parts_have_the_gradient_of_whole_batches(tmp_path):
    """AdamW's step hardly shows the gradient's size, so look at the gradient itself."""
    seen = []
    for accumulate in (1, 4):
        settings = [
            "train.batch_size=16",
            "train.epochs=1",
            "train.max_grad_norm=null",
            f"train.gradient_accumulation_steps={accumulate}",
        ]
        one = job(tmp_path, *settings)
        one.model.double()
        norms = []
        head = one.model.classifier.weight
        look = Mock(side_effect=lambda _, norms=norms, w=head: norms.append(float(w.grad.norm())), state_dict=dict)
        tune(dataclasses.replace(one, after_step=(look,)))
        seen.append(norms[0])
    assert seen[0] == pytest.approx(seen[1], rel=1e-10)


def short_job(tmp_path, kind, accumulate):
    """A tuning of the kind whose last batch has 18 rows: 82 in batches of 32."""
    smoothed = ["train.label_smoothing=0.1"] if kind == "smoothed" else []
    one = job(
        tmp_path, "train.max_rows=82", "train.batch_size=32", "train.epochs=1", "train.select_on=last",
        "train.max_grad_norm=null", f"train.gradient_accumulation_steps={accumulate}", *smoothed,
    )  # fmt: skip
    torch.manual_seed(0)
    if kind == "regression":
        rows = [dataclasses.replace(row, label=number % 7 / 3) for number, row in enumerate(one.train.examples)]
        model = plan.read(sweep.resolved(["backbone=tiny-bert"])).backbone.load(1, True).model
        task = SimpleNamespace(kind="regression", metrics=("pearson",))
        one = dataclasses.replace(
            one,
            train=dataclasses.replace(one.train, examples=tuple(rows)),
            dev=dataclasses.replace(one.train, examples=tuple(rows)),
            model=model,
            setup=dataclasses.replace(one.setup, task=task),
        )
    if kind == "writes":
        words = plan.read(sweep.resolved(["task=toy_d2t", "backbone=tiny-gpt2"]))
        loaded, data = words.backbone.load_lm(), words.task.load(None, 0)
        one = dataclasses.replace(
            one, model=loaded.model, setup=dataclasses.replace(one.setup, tokenizer=loaded.tokenizer, task=words.task),
            train=completions(data["train"]), dev=data["dev"],
        )  # fmt: skip
    for module in one.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    weight = next(iter(one.model.parameters()))
    return dataclasses.replace(one, penalties=(lambda: weight.square().sum(),), model=one.model.double())


@pytest.mark.parametrize("kind", ["classifies", "smoothed", "regression", "writes"])
def test_parts_of_a_short_last_batch_weigh_by_their_rows(tmp_path, float64, kind):
    """18 rows in parts of 8, 8 and 2: the mean of the parts' means would give the last two fourfold weight, and a third
    of a penalty that each part has a quarter of would be missing.

    In float64, where 1e-10 leaves six digits for the order of the sums.
    """
    ends = []
    for accumulate in (1, 4):
        one = short_job(tmp_path, kind, accumulate)
        gradients = []
        head = list(one.model.parameters())[-1]
        look = Mock(side_effect=lambda _, seen=gradients, w=head: seen.append(w.grad.clone()), state_dict=dict)
        assert tune(dataclasses.replace(one, after_step=(look,))).steps == 3
        ends.append(torch.cat([*map(torch.flatten, gradients), weights(one.model)]))
    torch.testing.assert_close(*ends, rtol=0, atol=1e-10)


def test_masked_weights_stay_zero_whatever_the_optimizer_does(tmp_path):
    one = job(tmp_path, "train.weight_decay=0.1", "train.select_on=last", "train.epochs=2")
    parameter = one.model.bert.encoder.layer[0].attention.self.query.weight
    mask = torch.rand(parameter.shape, generator=torch.Generator().manual_seed(0)) > 0.5
    with torch.no_grad():
        parameter.masked_fill_(~mask, 0)
    before = parameter.detach().clone()
    tune(dataclasses.replace(one, masks=((parameter, mask),)))
    assert not parameter[~mask].any()
    assert (parameter[mask] != before[mask]).float().mean() > 0.9


def test_the_best_checkpoint_is_the_one_handed_on(tmp_path):
    """A rate that wrecks the model late: best keeps an earlier score, last does not."""
    scores = {}
    for select_on in ("dev", "last"):
        one = job(tmp_path, f"train.select_on={select_on}", "train.epochs=4", "train.lr_scheduler_type=constant")
        report = tune(dataclasses.replace(one, learning_rate=3e-2))
        found = evaluate(one.model, one.setup, one.dev, tmp_path)
        scores[select_on] = (found.scores[0].value, [point["accuracy"] for point in report.dev])
    value, curve = scores["dev"]
    assert value == max(curve)
    value, curve = scores["last"]
    assert value == curve[-1]


def test_weights_before_a_step_are_no_candidates_for_the_best(tmp_path, monkeypatch):
    """The first of three evaluations has the best score, and is not the one that is handed on."""
    one = job(tmp_path, "train.select_on=dev", "train.epochs=3")
    seen = []

    def scored(_):
        seen.append(weights(one.model))
        return {"accuracy": 0.9 - 0.1 * len(seen)}

    monkeypatch.setattr("dsee_bench.training.train.metrics_of", lambda *_: scored)
    report = tune(dataclasses.replace(one, best_after=one.setup.recipe.steps(len(one.train), 1)))
    assert report.best_step == report.dev[1]["step"]
    assert torch.equal(weights(one.model), seen[1])
    assert not torch.equal(weights(one.model), seen[2])


def test_a_metric_whose_lower_values_are_better_chooses_the_smallest(tmp_path, monkeypatch):
    """An undefined value comes first and is never the best; of 3.0, 1.0 and 2.0 the second is."""
    (tmp_path / "a.csv").write_text(
        "text,label\n" + "".join(f"{word} film,{at}\n" for at, word in enumerate("abcdefgh"))
    )
    file = str(tmp_path / "a.csv")
    task = [f"task.train={file}", f"task.dev={file}", "task.kind=regression", "task.labels=[]", "task.metrics=[mse]"]
    one = job(tmp_path, "task=custom", *task, "train=demo", "train.select_on=dev", "train.epochs=4")
    values = iter((None, 3.0, 1.0, 2.0))
    monkeypatch.setattr(
        "dsee_bench.training.evaluate.score",
        lambda *_: (Score("mse", next(values), "0 and up", "lower", "dev", 8, "mse"),),
    )
    report = tune(one)
    assert [point["mse"] for point in report.dev] == [None, 3.0, 1.0, 2.0]
    assert report.best_step == report.dev[2]["step"]


UNDEFINED = [
    # dev score at each of three evaluations, best, why
    ((None, None, None), None, "none is better than another"),
    ((None, 0.2, 0.1), 1, "the best among those that are defined"),
    ((None, -0.5, None), 1, "any that is defined, however bad"),
    ((0.3, None, None), 0, "those that are undefined later do not take it"),
]


@pytest.mark.parametrize(("values", "best", "why"), UNDEFINED)
def test_a_metric_that_is_undefined_chooses_no_checkpoint(tmp_path, monkeypatch, values, best, why):
    one = job(tmp_path, "train.select_on=dev", "train.epochs=3")
    seen, told = [], []

    def scored(*_):
        seen.append(weights(one.model))
        value = values[len(seen) - 1]
        return (SimpleNamespace(name="accuracy", value=value, better="higher"),)

    monkeypatch.setattr("dsee_bench.training.evaluate.score", scored)
    monkeypatch.setattr("dsee_bench.monitoring.progress.info", told.append)
    monkeypatch.setattr("dsee_bench.training.train.info", told.append)
    report = tune(one)
    assert [point["accuracy"] for point in report.dev] == list(values)
    assert report.best_step == (None if best is None else report.dev[best]["step"]), why
    assert torch.equal(weights(one.model), seen[-1 if best is None else best])
    assert (report.why_last is not None) == (best is None)
    said = "\n".join(told)
    assert "dev accuracy undefined" in said
    assert "inf" not in said
    assert ("dev accuracy is undefined at every evaluation" in said) == (best is None)


def test_a_tuning_that_diverges_fails(tmp_path):
    """transformers would log 0.0 for a loss that is no number, and class 0 would be the answer to everything."""
    one = dataclasses.replace(job(tmp_path, "train.max_grad_norm=null", "train.batch_size=8"), learning_rate=1e38)
    with pytest.raises(ValueError, match=r"tune: the training loss is (nan|inf) at step \d+; .* smaller learning rate"):
        tune(one)


def test_answers_that_are_no_numbers_are_no_answers(tmp_path):
    one = job(tmp_path)
    with torch.no_grad():
        one.model.classifier.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="256 of 256 answers are not finite"):
        evaluate(one.model, one.setup, one.dev, tmp_path)


def test_several_processes_save_when_the_first_ones_clock_says_so(monkeypatch):
    said, asked = [], []
    monkeypatch.setattr(distributed, "from_main_process", lambda find: asked.append(find()) or said[-1])
    between = SaveBetween(1000.0)
    between.on_train_begin(None, None, None)
    args, loader = SimpleNamespace(world_size=2, gradient_accumulation_steps=1), range(500)
    for step, first, saves in ((10, True, True), (20, False, False), (499, True, False), (500, True, False)):
        control = SimpleNamespace(should_save=False)
        said.append(first)
        between.on_step_end(args, SimpleNamespace(global_step=step, max_steps=1000), control, train_dataloader=loader)
        assert control.should_save == saves, step
    assert asked == [False, False], "neither between two looks at the clock nor where an epoch ends"


def test_a_penalty_is_added_to_the_loss(tmp_path):
    one = job(tmp_path, "train.epochs=1", "train.select_on=last")
    plain = tune(one).curve[0]["loss"]
    one = job(tmp_path, "train.epochs=1", "train.select_on=last")
    punished = tune(dataclasses.replace(one, penalties=(lambda: torch.tensor(2.5),))).curve[0]["loss"]
    assert punished == pytest.approx(plain + 2.5, abs=1e-5)  # Trainer adds its losses up in float32


def test_loss_batches_leave_the_model_in_its_mode_and_repeat(tmp_path):
    one = job(tmp_path, dropout=True)
    one.model.train()
    losses = [
        [loss.item() for loss in loss_batches(one.model, one.setup, one.train, batches=2, seed=seed)]
        for seed in (0, 0, 1)
    ]
    assert one.model.training
    assert losses[0] == losses[1] != losses[2]
    assert len(losses[0]) == 2


@pytest.mark.parametrize("writes", [False, True])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(tmp_path, writes):
    gradients, largest = [], []
    for parts in (1, 4):
        one = job(tmp_path, f"train.gradient_accumulation_steps={parts}")
        model, train, seen = one.model.double(), one.train, []
        if writes:
            task = plan.read(sweep.resolved(["task=toy_d2t", "backbone=tiny-gpt2"]))
            torch.manual_seed(0)
            loaded = task.backbone.load_lm()
            model, train = loaded.model.double(), completions(task.task.load(None, 0)["train"])
            one = dataclasses.replace(one, setup=dataclasses.replace(one.setup, tokenizer=loaded.tokenizer))
        model.register_forward_pre_hook(
            lambda _, __, inputs, seen=seen: seen.append(len(inputs["labels"])), with_kwargs=True
        )
        for loss in loss_batches(model, one.setup, train, batches=1, seed=0):
            loss.backward()
        gradients.append({name: value.grad for name, value in model.named_parameters() if value.grad is not None})
        largest.append(max(seen))
    assert largest == [one.setup.recipe.batch_size, one.setup.recipe.batch_size // 4]
    for name, gradient in gradients[0].items():
        # A language model's loss is float32 in transformers: its gradient rounds by 2^-24 of the largest, about 500
        # tokens add up. Classifiers keep to float64.
        bound = (500 * 2**-24 if writes else 1e-12) * max(1.0, float(gradient.abs().max()))
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=bound)


def test_loss_batches_come_from_the_whole_of_a_sorted_file(tmp_path):
    one = job(tmp_path)
    answers = [example.label for example in one.train.examples]
    by_answer = dataclasses.replace(one.train, examples=sorted(one.train.examples, key=lambda example: example.label))
    seen = []
    one.model.register_forward_pre_hook(lambda _, __, inputs: seen.append(inputs["labels"]), with_kwargs=True)
    list(loss_batches(one.model, one.setup, by_answer, batches=len(answers), seed=0))
    assert sorted(torch.cat(seen).tolist()) == sorted(answers)
    seen.clear()
    half = len(answers) // one.setup.recipe.batch_size // 2
    list(loss_batches(one.model, one.setup, by_answer, batches=half, seed=0))
    assert len(torch.cat(seen).unique()) > 1


def test_a_second_tuning_computes_in_the_same_precision(tmp_path, monkeypatch):
    """accelerate marks a model that it wrapped, and leaves a marked one without autocast."""
    seen = []
    one = job(tmp_path, "train.precision=bf16", "train.epochs=1", "train.select_on=last")
    one.model.classifier.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    for _ in range(2):
        tune(one)
        evaluate(one.model, one.setup, one.dev, tmp_path)
    assert set(seen) == {torch.bfloat16}
