"""Progress of training and of answering a split: a bar on a terminal, a line every 30 seconds elsewhere."""

import math
import time
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from dsee_bench.monitoring.console import draws_bars, info
from dsee_bench.monitoring.curve import Curve
from dsee_bench.system import signals

REPORT_EVERY = 30.0  # seconds between two lines


class Progress(TrainerCallback):
    """Report one tuning, also to `curve` if there is one: steps, loss, and the score of `split` when measured."""

    def __init__(self, name: str, split: str, metric: str, curve: Curve | None = None) -> None:
        self._name, self._split, self._metric, self._curve = name, split, metric, curve
        self._bar: tqdm[Any] | None = None
        self._loss: float | None = None
        self._first = 0  # step that this start began from
        self._started = self._reported = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._started = self._reported = time.perf_counter()
        self._first = state.global_step
        if not state.is_world_process_zero:
            self._curve = None
            return
        if self._curve is not None:
            self._curve.begin(self._name, state.global_step)
        if draws_bars():
            self._bar = tqdm(
                total=state.max_steps, initial=state.global_step, desc=self._name, unit="step", leave=False
            )

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        signals.raise_if_stopped()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)
        elif time.perf_counter() - self._reported >= REPORT_EVERY:
            self._report(state, "")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        if "loss" not in logs:
            return
        self._loss = logs["loss"]
        self._refuse_divergence("training loss", self._loss, state.global_step)
        if self._curve is not None:
            self._curve.add(state.global_step, loss=self._loss, learning_rate=logs.get("learning_rate"))
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{self._loss:.3f}")

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        value = metrics.get(f"eval_{self._metric}")
        if value is not None and math.isnan(value):  # -inf: a metric that is undefined for these answers
            self._refuse_divergence(f"{self._split} {self._metric}", value, state.global_step)
        if self._curve is not None:
            self._curve.add(state.global_step, split=self._split, metric=self._metric, dev=value)
        text = "" if value is None else "undefined" if value == -math.inf else f"{value:.4f}"
        self._report(state, f"  {self._split} {self._metric} {text}" if text else "")

    def _refuse_divergence(self, name: str, value: float, step: int) -> None:
        if not math.isfinite(value):
            raise ValueError(
                f"{self._name}: the {name} is {value} at step {step}; the tuning diverged: use a smaller learning rate "
                "(train.lr_adapter, train.lr_full), a warm-up (train.warmup_ratio) or clipping (train.max_grad_norm)"
            )

    def _report(self, state: Any, score: str) -> None:
        if not state.is_world_process_zero:
            return
        self._reported = time.perf_counter()
        seconds = self._reported - self._started
        # Estimated from the steps since this start: a resumed run has not spent time on those before.
        left = seconds / max(state.global_step - self._first, 1) * (state.max_steps - state.global_step)
        loss = "" if self._loss is None else f"  loss {self._loss:.3f}"
        step = f"step {state.global_step}/{state.max_steps}"
        info(f"  {self._name}  {step}{loss}{score}  {seconds:.0f} s, {left:.0f} s left")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Answering(TrainerCallback):
    """Report the batches of a split while a model answers it, and stop when a signal asks for it."""

    def __init__(self, split: str) -> None:
        self._split = split
        self._done = 0
        self._started = self._reported = 0.0

    def on_prediction_step(self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **_: Any) -> None:
        signals.raise_if_stopped()
        now = time.perf_counter()
        if self._done == 0:
            self._started = self._reported = now
        self._done += 1
        if now - self._reported >= REPORT_EVERY and state.is_world_process_zero:
            self._reported = now
            total, seconds = len(eval_dataloader), now - self._started
            left = seconds / (self._done - 1) * (total - self._done)  # the clock starts after the first batch
            info(f"  {self._split}  batch {self._done}/{total}  {seconds:.0f} s, {left:.0f} s left")

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._done = 0


class Counting:
    """Progress in things of which each batch does some: a bar on a terminal, a line now and then elsewhere.

    The longest ones come first, so the time left is rather too long than too short.
    """

    def __init__(self, name: str, unit: str, total: int, before: int = 0) -> None:
        self._name, self._unit = name, unit
        self._total, self._before, self._done = total, before, before
        self._started = self._reported = time.perf_counter()
        self._bar: tqdm[Any] | None = None
        if draws_bars() and before < total:
            self._bar = tqdm(total=total, initial=before, desc=name, unit=unit, leave=False)
        if before:
            info(f"  {name}: {before} of {total} {unit}s were done before")

    def advance(self, count: int) -> None:
        """Say that so many more are done."""
        self._done += count
        now = time.perf_counter()
        if self._bar is not None:
            self._bar.update(count)
        elif now - self._reported >= REPORT_EVERY or self._done == self._total:
            seconds = now - self._started
            left = seconds / (self._done - self._before) * (self._total - self._done)
            info(f"  {self._name}  {self._unit} {self._done}/{self._total}  {seconds:.0f} s, {left:.0f} s left")
            self._reported = now

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
