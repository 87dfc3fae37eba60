"""The run of a method that tunes nothing and always gives the most frequent answer of the training rows.

What a model must be above to have learned anything. No model is loaded: every row gets the same logits, the logarithms
of the shares of the classes in train (of labels their log odds, of a regression the mean), and is scored as a model's.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from dsee_bench.plan import Settings
from dsee_bench.record import Cost, Record
from dsee_bench.runs.data_check import note
from dsee_bench.runs.scoring import keep_answers
from dsee_bench.system.errors import as_mistake
from dsee_bench.tasks.example import Split
from dsee_bench.training.evaluate import Answers, answered

NEVER = 1e-12  # the share of a class that train does not have: its logarithm is finite


def execute(settings: Settings) -> Record:
    """Return the record of the run, without `made_by`."""
    with as_mistake():
        data = settings.load_data()
    note(settings.work, settings.launch.data_dir, data)
    answers = list(_answers(settings, data))
    costs = [
        Cost(name, 0, "parameters", "nothing is trained") for name in ("adapter_parameters", "trainable_parameters")
    ]
    return Record(
        run_id=settings.run_id,
        status="finished",
        config=settings.config,
        made_by={},
        scores=keep_answers(answers, settings.task, data, settings.work),
        costs=tuple(costs),
        data={name: {"n": len(split), "sha256": split.sha256} for name, split in data.items()},
    )


def _answers(settings: Settings, data: dict[str, Split[Any]]) -> Iterator[Answers]:
    """Yield the answers on every split but train."""
    task = settings.task
    train = islice(data["train"].examples, settings.recipe.max_rows)
    guess = constant_logits(task.kind, [example.label for example in train], len(task.labels))
    for name, split in data.items():
        if name != "train":
            logits = np.array([_of_row(guess, example) for example in split.examples])
            yield answered(task, logits, [example.label for example in split.examples], name)


def constant_logits(kind: str, labels: Sequence[Any], classes: int) -> list[float]:
    """Return the logits that every row gets, from the labels of the training rows.

    Of equally frequent classes the first is the answer.
    """
    if kind == "regression":
        return [float(np.mean(labels))]
    if kind == "multi_label":
        shares = np.clip(np.mean(np.array(labels, dtype=float), axis=0), NEVER, 1 - NEVER)
        return [float(odds) for odds in np.log(shares / (1 - shares))]
    counts = Counter(labels)
    places = max(classes, max(counts) + 1)  # a question has places in place of classes
    return [float(np.log(max(counts[place] / len(labels), NEVER))) for place in range(places)]


def _of_row(guess: list[float], example: Any) -> list[float]:
    """The logits of a row; a question has as many as it has choices."""
    choices = getattr(example, "choices", None)
    if choices is None:
        return guess
    return [logit if place < len(choices) else float("-inf") for place, logit in enumerate(guess)]
