"""One tuning on transformers' Trainer: batches of like length, masks that hold, the best checkpoint at the end."""

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, Trainer, set_seed
from transformers.trainer_callback import PrinterCallback

from dsee_bench.models.checkpointing import make_checkpointable
from dsee_bench.monitoring.console import info
from dsee_bench.monitoring.progress import Answering, Progress
from dsee_bench.system import distributed
from dsee_bench.tasks.example import Split
from dsee_bench.tasks.generation import completions
from dsee_bench.training import checkpoint
from dsee_bench.training.batch import (
    GroupedByLength,
    Rows,
    SortedByLength,
    are_tokens,
    collator,
    encode,
    encode_split,
)
from dsee_bench.training.class_weights import ClassWeights, class_weights
from dsee_bench.training.evaluate import arguments, metrics_of, release
from dsee_bench.training.job import EVAL_BATCH, Job, Setup, TuneReport
from dsee_bench.training.prompts import NO_LOSS
from dsee_bench.training.sharded import sharding
from dsee_bench.training.trainer import HoldMasks, ResumingTrainer, SaveBetween

CURVE_POINTS = 50  # of the training loss, in the record
AS_IN_RECIPE = ("gradient_accumulation_steps", "lr_scheduler_type", "weight_decay", "eval_strategy", "eval_steps")


def tune(job: Job) -> TuneReport:
    """Train the parameters that have gradients; the model ends with the best or the last weights, as the recipe says.

    Resumes from the newest whole checkpoint in the job's folder, to the same weights as without an interruption.
    """
    setup, recipe = job.setup, job.setup.recipe
    set_seed(job.seed)
    # Trainer takes any model with **kwargs for one that divides its loss by the tokens of the whole batch; classifiers
    # do not, and would get their gradient multiplied by the number of accumulated parts.
    job.model.accepts_loss_kwargs = job.writes
    used = recipe.rows_used(len(job.train))
    rows = encode_split(job.train, setup.tokenizer, recipe.max_length, used, setup.truncate)
    dev = completions(job.dev) if setup.task.kind == "generation" else job.dev
    dev_rows = encode_split(dev, setup.tokenizer, recipe.max_length, recipe.dev_rows, setup.truncate)
    if recipe.gradient_checkpointing:
        make_checkpointable(job.model)
    progress = Progress(job.name, job.dev.name, job.ranked_by, setup.curve)
    masks = HoldMasks(job.masks)
    weights = _weights(setup, rows)
    with sharding(job) as model:
        trainer = ResumingTrainer(
            job.penalties,
            job.after_step,
            job.best_after,
            weights,
            model=model,
            args=_arguments(job, recipe.steps(len(job.train), job.epochs)),
            train_dataset=GroupedByLength(rows, recipe.batch_size, job.seed),
            eval_dataset=SortedByLength(dev_rows),
            data_collator=collator(setup.tokenizer, rows, dev_rows),
            compute_metrics=None if job.writes else metrics_of(setup.task, job.dev.name),
            callbacks=[progress, Answering(job.dev.name), masks, SaveBetween(setup.save_every)],
        )
        trainer.remove_callback(PrinterCallback)
        start = distributed.from_main_process(lambda: checkpoint.newest(job.folder))
        before = 0 if start is None else checkpoint.step_of(start)
        if before:
            info(f"  {job.name}: goes on from step {before}")
        started = time.perf_counter()
        try:
            trainer.train(resume_from_checkpoint=None if start is None else str(start))
        finally:
            masks.release()
            release(trainer, model)
            progress.close()
    here = trainer.state.global_step - before
    seconds = (time.perf_counter() - started) / max(here, 1)
    return replace(_report(trainer, job, seconds), class_weights=None if weights is None else weights.values)


def _weights(setup: Setup, rows: Rows) -> ClassWeights | None:
    """Return the weighted loss of the recipe for these rows; None where it has no class weights."""
    recipe, task = setup.recipe, setup.task
    if recipe.class_weights is None:
        return None
    recipe.check_classes(task.kind, task.labels)
    return class_weights(
        recipe.class_weights,
        rows.dataset["labels"][:],
        classes=len(task.labels),
        multi_label=task.kind != "classification",
        smoothing=recipe.label_smoothing or 0.0,
    )


def loss_batches(
    model: PreTrainedModel, setup: Setup, train: Split[Any], *, batches: int, seed: int
) -> Iterator[Tensor]:
    """Yield the eval-mode losses of `batches` random training batches, for first-order scores.

    A batch that is tuned on in parts (`gradient_accumulation_steps`) gives the losses of its parts, which add up to
    its own. `seed` draws the rows from all of `train`: the first ones of a sorted file say little of the rest (E2E's
    first 64 texts are about six restaurants). Class weights are those of the tuning, without its label smoothing.
    """
    recipe, tokenizer = setup.recipe, setup.tokenizer
    size = min(batches * recipe.batch_size, len(train.examples))
    drawn = random.Random(seed).sample(train.examples, size)
    rows = encode(drawn, tokenizer, recipe.max_length, setup.truncate)
    pad = collator(tokenizer, rows)
    used = recipe.rows_used(len(train))
    weights = _weights(setup, encode_split(train, tokenizer, recipe.max_length, used, setup.truncate))
    weights = weights and replace(weights, smoothing=0.0)
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(rows), recipe.batch_size):
            batch = rows[start : start + recipe.batch_size]
            size = -(-len(batch) // recipe.gradient_accumulation_steps)
            for part in (batch[begin : begin + size] for begin in range(0, len(batch), size)):
                inputs = pad(part).to(model.device)
                outputs = model(**inputs)
                loss = outputs.loss if weights is None else weights.loss(outputs.logits, inputs["labels"])
                yield loss * (_counted(part, weights) / _counted(batch, weights))
    finally:
        model.train(was_training)


def _counted(rows: Sequence[Any], weights: ClassWeights | None) -> float:
    """Count what the loss is a mean over: rows, their weights, or the tokens of texts that are to be learned."""
    labels = [row["labels"] for row in rows]
    if weights is not None:
        return weights.amount(labels)
    return sum(sum(token != NO_LOSS for token in label) if are_tokens(label) else 1 for label in labels)


def _arguments(job: Job, steps: int) -> Any:
    recipe = job.setup.recipe
    best = recipe.select_on != "last"
    part = distributed.per_process(recipe.batch_size // recipe.gradient_accumulation_steps)
    return arguments(
        job.folder,
        job.setup,
        num_train_epochs=job.epochs,
        learning_rate=job.learning_rate,
        per_device_train_batch_size=part,
        eval_batch=part if job.writes else EVAL_BATCH,  # a language model's logits are as large as its vocabulary
        **{name: getattr(recipe, name) for name in AS_IN_RECIPE},
        warmup_steps=recipe.warmup_ratio if recipe.warmup_steps is None else recipe.warmup_steps,
        adam_beta1=recipe.betas[0],
        adam_beta2=recipe.betas[1],
        adam_epsilon=recipe.eps,
        max_grad_norm=0.0 if recipe.max_grad_norm is None else recipe.max_grad_norm,
        seed=job.seed,
        data_seed=job.seed,
        train_sampling_strategy="sequential",  # the data set orders itself
        save_strategy=recipe.eval_strategy if best else "no",
        save_steps=recipe.eval_steps or 500,
        load_best_model_at_end=best,
        metric_for_best_model=job.ranked_by,
        greater_is_better=not job.lower_is_better,
        activation_checkpointing=bool(recipe.gradient_checkpointing),
        activation_checkpointing_kwargs={"use_reentrant": False},
        label_smoothing_factor=recipe.label_smoothing or 0.0,
        logging_strategy="steps",
        logging_steps=max(1, steps // CURVE_POINTS),
    )


def _report(trainer: Trainer, job: Job, seconds_per_step: float) -> TuneReport:
    history = trainer.state.log_history
    metric = f"eval_{job.ranked_by}"
    best_step = trainer.state.best_global_step if job.setup.recipe.select_on != "last" else None
    why_last = why_no_best(job, [log[metric] for log in history if metric in log]) if best_step is None else None
    if why_last is not None:
        info(f"  {job.name}: {why_last}")
    return TuneReport(
        steps=trainer.state.global_step,
        epochs=job.epochs,
        learning_rate=job.learning_rate,
        rows=len(trainer.train_dataset),
        precision="bf16" if trainer.args.bf16 else "fp32",
        seconds_per_step=round(seconds_per_step, 4),
        curve=[{"step": log["step"], "loss": log["loss"]} for log in history if "loss" in log],
        dev=[
            {"step": log["step"], job.ranked_by: log[metric] if math.isfinite(log[metric]) else None}
            for log in history
            if metric in log
        ],
        best_step=best_step,
        scored_on=None if job.dev.name == "dev" else job.dev.name,
        why_last=why_last,
    )


def why_no_best(job: Job, scores: Sequence[float]) -> str | None:
    """Say why a tuning that was to end with its best weights ends with the last; None where the last were asked for.

    `scores` are those of all evaluations, infinite where undefined.
    """
    if job.setup.recipe.select_on == "last":
        return None
    if any(map(math.isfinite, scores)):
        return f"no evaluation after step {job.best_after}, before which none may be the best; the last weights stay"
    return f"{job.dev.name} {job.ranked_by} is undefined at every evaluation and chooses none; the last weights stay"
