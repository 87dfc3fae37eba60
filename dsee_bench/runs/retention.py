"""Score a run's model on other tasks while it goes through its stages (`evaluate_on`): what does it forget?

A classifier answers with the run's head. A language model is asked how well it predicts the texts: running text in
blocks, a text to write after its prompt. Random numbers are drawn apart, so the run itself is the same without it.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch

from dsee_bench.metrics import find
from dsee_bench.monitoring.console import info
from dsee_bench.plan import Settings, retention
from dsee_bench.record import Retained, Score
from dsee_bench.stages.stage import RunState
from dsee_bench.system import distributed
from dsee_bench.system.errors import as_mistake
from dsee_bench.tasks.example import CAUSAL, Split, Task, split_of
from dsee_bench.tasks.generation import completions
from dsee_bench.training.batch import encode_split
from dsee_bench.training.blocks import in_blocks
from dsee_bench.training.evaluate import evaluate
from dsee_bench.training.job import Setup
from dsee_bench.training.perplexity import block_losses, measure
from dsee_bench.training.prompts import NO_LOSS

Watch = Callable[[str | None], None]  # called with the stage that is done; None before the first


class Retention:
    """The other tasks of a run, and the scores on them so far. An instance is the Watch of `run_stages`."""

    def __init__(self, settings: Settings, state: RunState) -> None:
        self._settings, self._state = settings, state
        self._moments = retention.moments(settings)
        self._splits = {name: self._load(task) for name, task in settings.others.items()}
        self.scores: list[Retained] = []

    def __call__(self, stage: str | None) -> None:
        """Score the model as it is, if this is a moment to do so."""
        if stage not in self._moments:
            return
        for name, task in self._settings.others.items():
            if task.kind in CAUSAL and not distributed.is_main_process():
                continue  # texts are read by the main process alone
            split = self._splits[name]
            with _same_random_numbers():
                scores = self._score(task, split)
            place = f"after {stage}" if stage else "before the first stage"
            values = ", ".join(f"{score.name} {score.value}" for score in scores)
            info(f"  {name} {split.name}, {place}: {values}")
            self.scores += [Retained(name, stage, sha256=split.sha256, **vars(score)) for score in scores]

    def _load(self, task: Task) -> Split[Any]:
        """Return the first rows of the other task's test split, or of dev where no test split has answers."""
        launch = self._settings.launch
        with as_mistake():
            data = task.load(launch.evaluate_data_dir or launch.data_dir, self._settings.seed)
        split = next(data[name] for name in ("test", "dev") if name in data and _is_answered(task, data[name]))
        if launch.evaluate_rows is not None:
            split = split_of(split.name, islice(split.examples, launch.evaluate_rows), split.files, split.source)
        setup = self._state.setup
        if task.kind == "generation":
            return completions(split)
        if task.kind == "language_modeling":
            separator = task.separator  # type: ignore[attr-defined]  # a task of running text
            return in_blocks(split, setup.tokenizer, setup.recipe.max_length, separator)
        return split

    def _score(self, task: Task, split: Split[Any]) -> tuple[Score, ...]:
        truncate = getattr(task, "truncate", None)
        setup = replace(self._state.setup, task=task, places=split.places, truncate=truncate)
        if task.kind == "language_modeling":
            return measure(self._state.model, setup, split).scores
        if task.kind == "generation":
            return (_perplexity(self._state, setup, split),)
        return evaluate(self._state.model, setup, split, self._state.folder).scores


def _is_answered(task: Task, split: Split[Any]) -> bool:
    return task.kind != "generation" or any(example.references for example in split.examples)


def _perplexity(state: RunState, setup: Setup, split: Split[Any]) -> Score:
    """Return the perplexity of the texts, each given its prompt: exp of the mean loss of a token."""
    losses = block_losses(state.model, setup, split)
    rows = encode_split(split, setup.tokenizer, setup.recipe.max_length)
    counts = [[float(sum(label != NO_LOSS for label in row["labels"]))] for row in rows]
    metric = find("perplexity")
    how = f"texts after their prompts, {setup.recipe.max_length} tokens at most"
    return metric.score(metric(losses, counts), "perplexity", split.name, len(losses), how)


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Draw in the block without moving what is drawn after it: Trainer sets every seed."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    np.random.set_state(numpy)
