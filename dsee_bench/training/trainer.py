"""transformers' Trainer with penalties, hooks after each step, masks that hold, and checkpoints to resume from."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Trainer, TrainerCallback
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.utils import SAFE_WEIGHTS_NAME

from dsee_bench.system import distributed
from dsee_bench.system.folders import seal
from dsee_bench.training import checkpoint
from dsee_bench.training.class_weights import ClassWeights
from dsee_bench.training.job import StepHook
from dsee_bench.training.sharded import load_state, load_trained, reshard, use_fsdp_on_cpu, whole_state, whole_tensor

CLOCK_EVERY = 10  # steps between two looks at the clock, where several processes train
SAVING_SHARE = 20  # the next checkpoint waits at least this many times the seconds that the last one took


class ResumingTrainer(Trainer):
    """Trainer with penalties added to the loss, and sealed checkpoints of what is trained."""

    def __init__(
        self,
        penalties: Sequence[Callable[[], Tensor]],
        hooks: Sequence[StepHook],
        best_after: int,  # step up to which the weights are no candidates for the best
        weights: ClassWeights | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        if not distributed.is_main_process():
            torch.manual_seed(self.args.seed + distributed.rank())  # each rank its own dropout
        self._penalties, self._hooks, self._best_after, self._weights = penalties, hooks, best_after, weights
        self._mean_amount = 1.0  # of the parts of the batch at hand
        self.add_callback(AfterStep(hooks))

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if distributed.uses_fsdp() and self.args.use_cpu:
            use_fsdp_on_cpu(self.accelerator)
            self.is_fsdp_enabled = True

    def get_batch_samples(self, *arguments: Any, **more: Any) -> Any:
        parts, items = super().get_batch_samples(*arguments, **more)
        mean = sum(self._amount(part["labels"]) for part in parts) / max(len(parts), 1)
        self._mean_amount = mean if self._weights is None else distributed.mean(mean)
        return parts, items

    def _amount(self, labels: Any) -> float:
        """Return what the loss of a part is a mean over: its rows, or the sum of their weights."""
        return len(labels) if self._weights is None else self._weights.amount(labels.tolist())

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
        """Return the loss of a part of a batch, weighted so that the parts have the gradient of the whole batch.

        A language model divides by the tokens of the batch, so its parts add up. A classifier divides by the rows of
        the part, and Trainer by the number of parts: only a part of fewer rows than the mean weighs less. With class
        weights it is the weights of the rows that count.
        """
        amount = self._amount(inputs["labels"])
        if self._weights is not None and model.training:
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            loss = self._weights.loss(outputs["logits"], labels)
        else:
            loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **more)
        if model.training:
            adds_up = self.model_accepts_loss_kwargs
            loss = loss if adds_up else loss * (amount / self._mean_amount)
            for penalty in self._penalties:
                loss = loss + penalty() / (self.current_gradient_accumulation_steps if adds_up else 1)
        return (loss, outputs) if return_outputs else loss

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        return self.state.global_step > self._best_after and bool(super()._determine_best_metric(metrics, trial))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write what is trained; every process calls it, since sharded tensors are gathered from all."""
        # Frozen parameters are left out; positions of sparse entries are buffers.
        model = self.accelerator.unwrap_model(self.model)
        reshard(model)
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        persistent = model.state_dict().keys()
        buffers = {name: value for name, value in model.named_buffers() if name in persistent}
        tensors = {name: whole_tensor(value.detach()).contiguous() for name, value in (trained | buffers).items()}
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            save_file(tensors, folder / SAFE_WEIGHTS_NAME)

    def _load_best_model(self) -> None:
        if not distributed.uses_fsdp():
            super()._load_best_model()
            return
        load_trained(self.model, load_file(Path(str(self.state.best_model_checkpoint)) / SAFE_WEIGHTS_NAME))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not distributed.uses_fsdp():
            super()._save_optimizer_and_scheduler(output_dir)
            return
        state = whole_state(self.optimizer.optimizer)
        if self.args.should_save:
            torch.save(state, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if not distributed.uses_fsdp() or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        load_state(self.optimizer.optimizer, torch.load(Path(checkpoint) / OPTIMIZER_NAME, weights_only=True))
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        if load_result.unexpected_keys:
            raise ValueError(f"a checkpoint of another model: it has {load_result.unexpected_keys[0]}")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = checkpoint.folder_of(Path(self.args.output_dir), self.state.global_step)
        folder.mkdir(parents=True, exist_ok=True)
        if distributed.is_main_process():
            tensors = {
                f"{index}.{name}": value.contiguous()
                for index, hook in enumerate(self._hooks)
                for name, value in hook.state_dict().items()
            }
            save_file(tensors, folder / checkpoint.HOOKS)
        super()._save_checkpoint(model, trial)
        distributed.barrier()  # each process writes its random state
        if distributed.is_main_process():
            seal(folder)
            best = self.state.best_global_step if self.args.load_best_model_at_end else None
            checkpoint.keep_only(folder.parent, (best, self.state.global_step))
        distributed.barrier()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        tensors = load_file(Path(resume_from_checkpoint) / checkpoint.HOOKS)
        for index, hook in enumerate(self._hooks):
            start = f"{index}."
            own = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
            hook.load_state_dict(own)
        if distributed.uses_fsdp():
            load_trained(self.model, load_file(Path(resume_from_checkpoint) / SAFE_WEIGHTS_NAME))
        else:  # after the hooks: masks are tensors of the model
            super()._load_from_checkpoint(resume_from_checkpoint, model)


class HoldMasks(TrainerCallback):
    """Masked entries get no gradient, and are zeroed again after each step, whatever the optimizer added."""

    def __init__(self, masks: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._masks = masks
        self._hooks = [parameter.register_hook(_masked_gradient(mask)) for parameter, mask in masks]

    def release(self) -> None:
        """Let gradients through again."""
        for hook in self._hooks:
            hook.remove()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        with torch.no_grad():
            for parameter, mask in self._masks:
                parameter.masked_fill_(~mask.to(parameter.device), 0)


class AfterStep(TrainerCallback):
    def __init__(self, hooks: Sequence[StepHook]) -> None:
        self._hooks = hooks

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        for hook in self._hooks:
            hook(state.global_step)


class SaveBetween(TrainerCallback):
    """Request a checkpoint every so many seconds, but not at the end of an epoch.

    A checkpoint written there lacks the evaluation that follows, and a resumed tuning would leave that out.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._requested = self._due = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._due = time.perf_counter() + self._seconds

    def on_step_end(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **_: Any) -> None:
        now = time.perf_counter()
        in_epoch = -(-len(train_dataloader) // args.gradient_accumulation_steps)
        at_end = state.global_step % in_epoch == 0 or state.global_step == state.max_steps
        # The clocks of several processes differ: the main process decides, and broadcasts that now and then.
        looks = args.world_size == 1 or self._seconds == 0 or state.global_step % CLOCK_EVERY == 0
        if looks and not at_end and distributed.from_main_process(lambda: now >= self._due):
            self._requested, control.should_save = now, True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        now = time.perf_counter()
        took = now - self._requested if self._requested else 0.0
        self._due, self._requested = now + max(self._seconds, SAVING_SHARE * took), 0.0


def _masked_gradient(mask: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda gradient: gradient.masked_fill(~mask.to(gradient.device), 0)
