"""A model's answers on a split, and their scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import EvalPrediction, PreTrainedModel, Trainer, TrainingArguments

from dsee_bench.metrics import score
from dsee_bench.monitoring.progress import Answering
from dsee_bench.record import Score
from dsee_bench.system import distributed
from dsee_bench.tasks.example import THRESHOLD, Split, Task, threshold_of
from dsee_bench.training.batch import SortedByLength, collator, encode_split
from dsee_bench.training.job import EVAL_BATCH, Setup


@dataclass(frozen=True)
class Answers:
    """The answers on one split, in its order, and their scores."""

    split: str
    answers: tuple[Any, ...]
    references: tuple[Any, ...]
    scores: tuple[Score, ...]
    probabilities: tuple[Sequence[float], ...] | None = None  # of each class, label or choice
    categories: tuple[str | None, ...] | None = None  # of a data set's texts


def use_bf16(precision: str, device: str) -> bool:
    """Return whether to compute in bfloat16: as asked, or for `auto` where the processor multiplies it natively."""
    if precision != "auto":
        return precision == "bf16"
    if not on_cpu(device):
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))


def on_cpu(device: str) -> bool:
    """Return whether a run computes on the CPU: asked for, or nothing else is available."""
    return device == "cpu" or not torch.accelerator.is_available()


def arguments(folder: Path, setup: Setup, *, eval_batch: int = EVAL_BATCH, **more: Any) -> TrainingArguments:
    """Return TrainingArguments with what training and scoring share.

    A process computes on one GPU, however many it sees: Trainer would give each a batch of that size.
    """
    device = setup.device
    made = TrainingArguments(
        output_dir=str(folder),
        per_device_eval_batch_size=eval_batch,
        logging_nan_inf_filter=False,  # it would log the last finite loss, and leave others out of dev's mean
        bf16=use_bf16(setup.recipe.precision, device),
        use_cpu=on_cpu(device),
        dataloader_pin_memory=not on_cpu(device),
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        ddp_backend="gloo" if distributed.world_size() > 1 and on_cpu(device) else None,
        ddp_find_unused_parameters=False,
        **more,
    )
    made._n_gpu = min(made.n_gpu, 1)
    return made


def answers_of(logits: np.ndarray, kind: str, threshold: float = THRESHOLD) -> list[Any]:
    """Return the answers of logits (n, labels): the largest class, the number itself, or a row of 0 and 1 a label.

    A label is an answer where its probability is above `threshold`. A choice that is not there has the logit -inf.
    ValueError for logits that are not finite: argmax would make them class 0.
    """
    rows = logits.reshape(len(logits), -1)
    fine = np.isfinite(rows) | (np.isneginf(rows) & (kind == "multiple_choice"))
    wrong = len(logits) - int((fine.all(-1) & np.isfinite(rows.max(-1))).sum())
    if wrong:
        raise ValueError(
            f"{wrong} of {len(logits)} answers are not finite: the tuning diverged; use a smaller learning rate"
        )
    if kind == "multi_label":
        return (probabilities_of(logits, kind) > threshold).astype(int).tolist()
    return logits.reshape(-1).tolist() if kind == "regression" else logits.argmax(-1).tolist()


def probabilities_of(logits: np.ndarray, kind: str) -> np.ndarray:
    """Return the softmax of logits (n, classes), or of multi-label the sigmoid of each."""
    if kind == "multi_label":
        return 1 / (1 + np.exp(-logits.astype(np.float64)))
    odds = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def answered(task: Task, logits: np.ndarray, references: list[Any], split: str) -> Answers:
    """Return the answers that logits stand for, scored with the task's metrics."""
    answers = answers_of(logits, task.kind, threshold_of(task))
    references = [list(map(int, row)) for row in references] if task.kind == "multi_label" else references
    shares = None if task.kind == "regression" else probabilities_of(logits, task.kind).tolist()
    scores = score(task.metrics, answers, references, split, shares)
    return Answers(split, tuple(answers), tuple(references), scores, None if shares is None else tuple(shares))


def metrics_of(task: Task, split: str) -> Callable[[EvalPrediction], dict[str, float]]:
    """Return Trainer's compute_metrics for a task; an undefined value is the worst there is, never the best."""

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        logits, references = np.asarray(prediction.predictions), np.asarray(prediction.label_ids).tolist()
        scores = answered(task, logits, references, split).scores
        worst = {"higher": float("-inf"), "lower": float("inf")}
        return {item.name: worst[item.better] if item.value is None else item.value for item in scores}

    return compute


def release(trainer: Trainer, model: PreTrainedModel) -> None:
    """Take off what accelerate wrapped around the model.

    accelerate marks the model as prepared, and the next Trainer would leave it as it is: a second tuning would run in
    float32 where the first ran in bfloat16.
    """
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    model.__dict__.pop("_is_accelerate_prepared", None)
    if model.is_activation_checkpointing:
        model.activation_checkpointing_disable()


def logits_of(
    model: PreTrainedModel, setup: Setup, split: Split[Any], folder: Path
) -> tuple[np.ndarray, list[float] | None]:
    """Return the logits (n, labels) of every example of `split`, in its order, and the references, None if unknown."""
    rows = SortedByLength(encode_split(split, setup.tokenizer, setup.recipe.max_length, truncate=setup.truncate))
    trainer = Trainer(
        model,
        arguments(folder, setup),
        data_collator=collator(setup.tokenizer, rows.rows),
        callbacks=[Answering(split.name)],
    )
    output = trainer.predict(rows)
    release(trainer, model)
    labels = None if output.label_ids is None else rows.restore(np.asarray(output.label_ids).tolist())
    return np.asarray(rows.restore(list(np.asarray(output.predictions)))), labels


def evaluate(model: PreTrainedModel, setup: Setup, split: Split[Any], folder: Path) -> Answers:
    """Answer every example of `split` and score the answers with the task's metrics."""
    logits, references = logits_of(model, setup, split, folder)
    assert references is not None  # every split of a task has labels
    return answered(setup.task, logits, references, split.name)
