"""One tuning stage on transformers' Trainer: batches of like length, masks that hold, the best checkpoint kept."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainerCallback, set_seed
from transformers.trainer_callback import PrinterCallback
from transformers.utils import SAFE_WEIGHTS_NAME

from dsee_bench import checkpoint, ranks
from dsee_bench.config import Recipe
from dsee_bench.curve import Curve
from dsee_bench.evaluate import EVAL_BATCH, arguments, metrics_of, release
from dsee_bench.logs import tell
from dsee_bench.progress import Answering, Progress
from dsee_bench.seal import seal
from dsee_bench.tasks.batch import GroupedByLength, SortedByLength, collator, encode
from dsee_bench.tasks.example import Split, Task
from dsee_bench.tasks.generation import completions

CURVE_POINTS = 50  # of the training loss, in the record
HOOKS = "hooks.safetensors"  # in a checkpoint: what the step hooks keep
SAVING_SHARE = 20  # a point is saved at the earliest after this many times what the last one took


class StepHook(Protocol):
    """Called with the step after the optimizer's; what it keeps from step to step is saved with each checkpoint."""

    def __call__(self, step: int, /) -> None: ...
    def tensors(self) -> dict[str, Tensor]: ...
    def load(self, tensors: dict[str, Tensor]) -> None: ...


@dataclass(frozen=True)
class Job:
    """All that one tuning needs."""

    name: str  # of the stage, for the progress line
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    task: Task
    train: Split
    dev: Split
    recipe: Recipe
    epochs: float
    learning_rate: float
    seed: int
    folder: Path
    device: str
    masks: Sequence[tuple[Tensor, Tensor]]  # (parameter, mask of its shape, True where kept)
    after_step: Sequence[StepHook]
    penalties: Sequence[Callable[[], Tensor]]
    save_every: float  # seconds between points that a stopped run goes on from, beside those of evaluations
    curve: Curve | None = None  # where points of loss and dev score go, beside the facts

    @property
    def writes(self) -> bool:
        """Whether it is a language model that learns to complete contexts."""
        return self.task.kind == "generation"

    @property
    def ranked_by(self) -> str:
        """What the dev split is measured by while training: the task's first metric; of texts to write, the loss."""
        return "loss" if self.writes else self.task.metrics[0]


def tune(job: Job) -> dict[str, Any]:
    """Train the parameters that have gradients; the model ends with the best or the last weights, as the recipe says.

    Goes on from the newest whole checkpoint in the job's folder, to the same weights as if never stopped. Returns
    facts for the record: steps, seconds a step, the learning rate, and the curves of loss and dev scores.
    """
    recipe = job.recipe
    set_seed(job.seed)
    # Trainer takes any model with **kwargs for one that divides its loss by the tokens of the whole batch; classifiers
    # do not, and would get their gradient multiplied by the number of accumulated parts.
    job.model.accepts_loss_kwargs = job.writes
    examples = job.train.examples[: recipe.rows_used(len(job.train))]
    dev = completions(job.dev) if job.writes else job.dev
    dev_rows = encode(dev.examples[: recipe.dev_rows], job.tokenizer, recipe.max_length)
    progress = Progress(job.name, job.ranked_by, job.curve)
    trainer = _Trainer(
        job,
        model=job.model,
        args=_arguments(job, recipe.steps(len(job.train), job.epochs)),
        train_dataset=GroupedByLength(encode(examples, job.tokenizer, recipe.max_length), recipe.batch_size, job.seed),
        eval_dataset=SortedByLength(dev_rows),
        data_collator=collator(job.tokenizer),
        compute_metrics=None if job.writes else metrics_of(job.task, "dev"),
        callbacks=[
            progress,
            Answering("dev"),
            _HoldMasks(job.masks),
            _AfterStep(job.after_step),
            _SaveBetween(job.save_every),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    hooks = [parameter.register_hook(_masked_gradient(mask)) for parameter, mask in job.masks]
    start = ranks.by_first(lambda: checkpoint.newest(job.folder))
    if start is not None:
        tell(f"  {job.name}: goes on from step {start.name.rsplit('-', 1)[1]}")
    started = time.perf_counter()
    try:
        trainer.train(resume_from_checkpoint=None if start is None else str(start))
    finally:
        for hook in hooks:
            hook.remove()
        release(trainer, job.model)
        progress.close()
    return _facts(trainer, job, time.perf_counter() - started)


def loss_batches(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, train: Split, recipe: Recipe, batches: int
) -> Iterator[Tensor]:
    """The loss of the first `batches` training batches, without dropout: what a first-order score is made of."""
    rows = encode(train.examples[: batches * recipe.batch_size], tokenizer, recipe.max_length)
    pad = collator(tokenizer)
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(rows), recipe.batch_size):
            batch = pad(rows[start : start + recipe.batch_size]).to(model.device)
            yield model(**batch).loss
    finally:
        model.train(was_training)


def _arguments(job: Job, steps_: int) -> Any:
    recipe = job.recipe
    by_epoch = recipe.eval_every == "epoch"
    best = recipe.checkpoint == "best"
    when = "epoch" if by_epoch else "steps"
    part = ranks.share(recipe.batch_size // recipe.accumulate)
    return arguments(
        job.folder,
        recipe,
        job.device,
        num_train_epochs=job.epochs,
        learning_rate=job.learning_rate,
        per_device_train_batch_size=part,
        eval_batch=part if job.writes else EVAL_BATCH,  # a language model's logits are as large as its vocabulary
        gradient_accumulation_steps=recipe.accumulate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup if recipe.warmup < 1 else int(recipe.warmup),
        weight_decay=recipe.weight_decay,
        adam_beta1=recipe.betas[0],
        adam_beta2=recipe.betas[1],
        adam_epsilon=recipe.eps,
        max_grad_norm=0.0 if recipe.clip is None else recipe.clip,
        seed=job.seed,
        data_seed=job.seed,
        train_sampling_strategy="sequential",  # the data set orders itself
        eval_strategy=when,
        eval_steps=None if by_epoch else recipe.eval_every,
        save_strategy=when if best else "no",
        save_steps=500 if by_epoch else recipe.eval_every,
        load_best_model_at_end=best,
        metric_for_best_model=job.ranked_by,
        greater_is_better=not job.writes,
        label_smoothing_factor=recipe.label_smoothing or 0.0,
        logging_strategy="steps",
        logging_steps=max(1, steps_ // CURVE_POINTS),
    )


def _facts(trainer: Trainer, job: Job, seconds: float) -> dict[str, Any]:
    history = trainer.state.log_history
    metric = f"eval_{job.ranked_by}"
    done = trainer.state.global_step
    return {
        "steps": done,
        "epochs": job.epochs,
        "learning_rate": job.learning_rate,
        "rows": len(trainer.train_dataset),
        "precision": "bf16" if trainer.args.bf16 else "fp32",
        "seconds_per_step": round(seconds / max(done, 1), 4),
        "curve": [{"step": log["step"], "loss": log["loss"]} for log in history if "loss" in log],
        "dev": [
            {"step": log["step"], job.ranked_by: log[metric] if math.isfinite(log[metric]) else None}
            for log in history
            if metric in log
        ],
        "best_step": trainer.state.best_global_step if job.recipe.checkpoint == "best" else None,
    }


class _Trainer(Trainer):
    """Trainer with penalties added to the loss, and checkpoints of what is trained, sealed."""

    def __init__(self, job: Job, **arguments_: Any) -> None:
        super().__init__(**arguments_)
        if not ranks.first():
            torch.manual_seed(job.seed + ranks.rank())  # its rows are others, and so is what dropout leaves out of them
        self._penalties, self._hooks = job.penalties, job.after_step
        # Trainer averages a classifier's loss over the parts of a batch; a language model's parts add up to the whole.
        self._share = 1 / job.recipe.accumulate if job.writes else 1.0

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **more)
        if model.training:
            for penalty in self._penalties:
                loss = loss + self._share * penalty()
        return (loss, outputs) if return_outputs else loss

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # What a tuning leaves as it was is not written each time. Places of sparse entries are no parameters.
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        model = self.accelerator.unwrap_model(self.model)
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        kept = model.state_dict().keys()
        buffers = {name: value for name, value in model.named_buffers() if name in kept}
        tensors = {name: value.detach().contiguous() for name, value in (trained | buffers).items()}
        save_file(tensors, folder / SAFE_WEIGHTS_NAME)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        if load_result.unexpected_keys:
            raise ValueError(f"a checkpoint of another model: it has {load_result.unexpected_keys[0]}")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = checkpoint.folder_of(Path(self.args.output_dir), self.state.global_step)
        folder.mkdir(parents=True, exist_ok=True)
        kept = {
            f"{index}.{name}": value.contiguous()
            for index, hook in enumerate(self._hooks)
            for name, value in hook.tensors().items()
        }
        if ranks.first():
            save_file(kept, folder / HOOKS)
        super()._save_checkpoint(model, trial)
        ranks.wait()  # each process writes its random state
        if ranks.first():
            seal(folder)
            best = self.state.best_global_step if self.args.load_best_model_at_end else None
            checkpoint.keep_only(folder.parent, (best, self.state.global_step))
        ranks.wait()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        kept = load_file(Path(resume_from_checkpoint) / HOOKS)
        for index, hook in enumerate(self._hooks):
            mine = {name.split(".", 1)[1]: value for name, value in kept.items() if name.split(".", 1)[0] == str(index)}
            hook.load(mine)
        super()._load_from_checkpoint(resume_from_checkpoint, model)  # after the hooks: masks are tensors of the model


def _masked_gradient(mask: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda gradient: gradient.masked_fill(~mask.to(gradient.device), 0)


class _HoldMasks(TrainerCallback):
    """Masked weights are zeroed again after each step, whatever the optimizer added to them."""

    def __init__(self, masks: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._masks = masks

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        with torch.no_grad():
            for parameter, mask in self._masks:
                parameter.masked_fill_(~mask.to(parameter.device), 0)


class _AfterStep(TrainerCallback):
    def __init__(self, hooks: Sequence[StepHook]) -> None:
        self._hooks = hooks

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        for hook in self._hooks:
            hook(state.global_step)


class _SaveBetween(TrainerCallback):
    """Asks for a checkpoint every so many seconds, but not where an epoch ends: one written there would lack the
    evaluation that follows, and a resume from it would leave that out."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._asked = self._due = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._due = time.perf_counter() + self._seconds

    def on_step_end(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **_: Any) -> None:
        now = time.perf_counter()
        in_epoch = -(-len(train_dataloader) // args.gradient_accumulation_steps)
        at_end = state.global_step % in_epoch == 0 or state.global_step == state.max_steps
        if now >= self._due and not at_end and args.world_size == 1:  # the clocks of several processes differ
            self._asked, control.should_save = now, True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        now = time.perf_counter()
        took = now - self._asked if self._asked else 0.0
        self._due, self._asked = now + max(self._seconds, SAVING_SHARE * took), 0.0
