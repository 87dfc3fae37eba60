"""Scores of predictions against references. One metric a file; the folder is the list of what there is.

A file NAME.py holds one function NAME(predictions, references) -> Measured under `@metric(...)`, which states what it
takes and how its values read. Runs call that function; `evaluate.load("path/to/NAME.py")` gives it as an
evaluate.Metric. Metrics of generated texts are in `nlg`, since each data set's authors compute theirs in their own way.

A metric that takes probabilities has a row of them in the place of each prediction: of every class, or of every label.
"""

import difflib
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from dsee_bench.record import Score

FOLDER = Path(__file__).parent
Kind = Literal["classification", "regression", "multi_label", "generation", "language_modeling"]
Texts = Sequence[str]
References = Sequence[Sequence[str]]  # of each text
PREDICTIONS = {"multiple_choice": "classification"}  # kind of task -> kind of its predictions, where the names differ


@dataclass(frozen=True)
class Sums:
    """A score as a function of sums over the predictions: what a bootstrap draws from."""

    rows: tuple[tuple[float, ...], ...]  # one a prediction
    score: Callable[[Sequence[float]], float]  # of the rows' sums


def mean_of(values: Iterable[float]) -> Sums:
    """Return the sums of a score that is the mean of the predictions' own."""
    return Sums(tuple((float(value), 1.0) for value in values), ratio)


def ratio(sums: Sequence[float]) -> float:
    """Return the first sum over the second."""
    return sums[0] / sums[1]


@dataclass(frozen=True)
class Measured:
    """A metric's value; None, with the reason, where it is undefined or cannot be computed."""

    value: float | None
    reason: str | None = None  # also why a value is 0 whatever the predictions
    sums: Sums | None = None  # of a metric that is a function of sums


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric: what it takes, how its values read, and the function that computes it."""

    compute: Callable[[Any, Any], Measured]
    name: str  # as the signature has it
    settings: tuple[str, ...] = ()  # that the name leaves open
    kind: Kind | tuple[Kind, ...]  # of the predictions, see `kinds`
    takes: Literal["answers", "probabilities"] = "answers"
    unit: str  # the range of its values, e.g. "0-1"
    better: Literal["higher", "lower"] = "higher"
    package: str = "dsee-bench"  # the distribution that computes it
    classes: int | None = None  # the one number of classes it is defined for; None: any
    has_sums: bool = False  # whether it is a function of sums over the predictions
    pad: bool = False  # whether a missing reference counts as an empty text

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of predictions that the metric takes.

        classification: class indices; regression: numbers; multi_label: for each example a list with 1 for every label
        that it has and 0 for the others; generation: texts, with several references each.
        """
        return (self.kind,) if isinstance(self.kind, str) else self.kind

    def __call__(self, predictions: Sequence[Any], references: Sequence[Any]) -> Measured:
        """Compute the metric of predictions and their references, paired by position."""
        if "generation" in self.kinds:
            predictions = tuple(predictions)
            references = tuple(map(tuple, references))
        return self.compute(predictions, references)

    def signature(self, *data: str) -> str:
        """Return name, settings, what `data` says of the references, and the release, e.g. "f1|scikit-learn 1.9.1"."""
        return "|".join((self.name, *self.settings, *data, f"{self.package} {version(self.package)}"))

    def score(self, measured: Measured, name: str, split: str, n: int, *data: str) -> Score:
        """Return what was measured on `n` predictions as a Score called `name`; `data` goes into its signature."""
        value = None if measured.value is None else float(measured.value)
        return Score(name, value, self.unit, self.better, split, n, self.signature(*data), measured.reason)


def metric(name: str, *settings: str, **fields: Any) -> Callable[[Callable[[Any, Any], Measured]], Metric]:
    """Make the decorated function a Metric, whose other fields are `fields`."""

    def decorate(compute: Callable[[Any, Any], Measured]) -> Metric:
        made = Metric(compute=compute, name=name, settings=settings, **fields)
        # evaluate.load imports a copy of the file below this package and takes the subclass of its own that it finds.
        # Only then is one made: importing evaluate takes 5 seconds.
        return _evaluate_class(made) if compute.__module__.startswith("evaluate_modules.") else made

    return decorate


def _evaluate_class(made: Metric) -> Any:
    import datasets
    import evaluate

    features = [datasets.Features(predictions=p, references=r) for p, r in _layouts(made)]

    class Loaded(evaluate.Metric):
        def _info(self) -> Any:
            return evaluate.MetricInfo(description=made.compute.__doc__ or made.name, citation="", features=features)

        def _compute(self, predictions: list[Any], references: list[Any]) -> dict[str, Any]:
            measured = made(predictions, references)
            return {made.name: measured.value} | ({} if measured.reason is None else {"reason": measured.reason})

    return Loaded


def _layouts(made: Metric) -> list[tuple[Any, Any]]:
    """Return the types of a prediction and its reference that a metric takes; evaluate chooses by the first row."""
    from datasets import Value

    whole, real, text = Value("int64"), Value("float64"), Value("string")
    single = "classification" in made.kinds
    layouts: list[tuple[Any, Any]] = []
    if made.takes == "probabilities":  # of class 1, of each class, of each label
        layouts = [(real, whole), ([real], whole)] * single + [([real], [whole])] * ("multi_label" in made.kinds)
    else:
        layouts = [(whole, whole)] * single + [([whole], [whole])] * ("multi_label" in made.kinds)
    layouts += [(real, real)] * ("regression" in made.kinds) + [(real, [real])] * ("language_modeling" in made.kinds)
    return layouts + [(text, [text])] * ("generation" in made.kinds)


def available() -> tuple[str, ...]:
    """Return the names of the metrics of classes and numbers, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("[!_]*.py")))


def find(name: str) -> Metric:
    """Return a metric of classes or numbers; ValueError with the nearest name if there is no such metric."""
    if name not in available():
        near = difflib.get_close_matches(name, available(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no metric {name!r}; {hint}there are {', '.join(available())}")
    return load(name)


def load(file: str) -> Metric:
    """Return the metric of a file below this folder, e.g. "f1" or "nlg.bleu"."""
    made: Metric = getattr(importlib.import_module(f"{__name__}.{file}"), file.rpartition(".")[2])
    return made


def check(names: Sequence[str], *, kind: str, classes: int | None) -> None:
    """Raise ValueError unless each metric exists and can score a task of this kind and number of classes, if any."""
    if not names:
        raise ValueError("metrics is empty; name at least one, the first decides which checkpoint is best")
    taken = PREDICTIONS.get(kind, kind)
    for name in names:
        chosen = find(name)
        if taken not in chosen.kinds:
            fitting = [other for other in available() if taken in find(other).kinds]
            raise ValueError(
                f"metric {name!r} scores {' and '.join(chosen.kinds)}, this task is {kind}; "
                f"take from {', '.join(fitting)}"
            )
        if kind == "multiple_choice" and chosen.takes == "probabilities":
            raise ValueError(f"metric {name!r} takes the probability of each class, and choices are no classes")
        if chosen.classes is not None and chosen.classes != classes:
            raise ValueError(f"metric {name!r} is defined for {chosen.classes} classes, this task has {classes}")
    if len(set(names)) != len(names):
        raise ValueError(f"metrics names one twice: {', '.join(names)}")


def score(
    names: Sequence[str],
    predictions: Sequence[Any],
    references: Sequence[Any],
    split: str,
    probabilities: Sequence[Any] | None = None,  # a row of them a prediction; for the metrics that take them
) -> tuple[Score, ...]:
    """Return one Score a metric, in the order of `names`; `Metric.kinds` says what predictions are."""
    chosen = {name: find(name) for name in names}
    if len(predictions) != len(references):
        raise ValueError(
            f"{len(predictions)} answers for {len(references)} references of split {split!r}; they must pair"
        )
    if not predictions:
        raise ValueError(f"split {split!r} has no answer to score")
    for name, one in chosen.items():
        if "regression" not in one.kinds and not all(map(_is_whole, (*predictions, *references))):
            raise ValueError(f"{name} takes class indices, got a number that is not whole in split {split!r}")
        if one.takes == "probabilities" and probabilities is None:
            raise ValueError(f"{name} takes probabilities, and the answers of split {split!r} have none")
    given = {"answers": predictions, "probabilities": probabilities}
    measured = {name: one(given[one.takes] or (), references) for name, one in chosen.items()}
    return tuple(one.score(measured[name], name, split, len(predictions)) for name, one in chosen.items())


def _is_whole(answer: Any) -> bool:
    """Return whether an answer is a class index or a row of them."""
    return all(map(_is_whole, answer)) if isinstance(answer, Sequence) else answer == int(answer)
