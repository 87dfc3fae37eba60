"""The answers and scores of a finished model, on every split that has answers to compare with."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dsee_bench.monitoring.console import warn
from dsee_bench.record import Score
from dsee_bench.runs import answers, notices
from dsee_bench.stages.stage import RunState
from dsee_bench.tasks.example import Split, Task
from dsee_bench.training.decode import answer_texts
from dsee_bench.training.evaluate import Answers, evaluate
from dsee_bench.training.perplexity import measure


def score(state: RunState, work: Path) -> tuple[Score, ...]:
    """Return the scores on every split but train, or on those that a text task names; keep the answers in `work`."""
    return keep_answers(list(answer_splits(state, work)), state.setup.task, state.data, work)


def keep_answers(
    answered: Sequence[Answers], task: Task, data: Mapping[str, Split[Any]], work: Path
) -> tuple[Score, ...]:
    """Write the answers on all splits to `work`, warn of odd scores, and return the scores."""
    scores = tuple(score for split in answered for score in split.scores)
    for line in notices.of_scores(scores):
        warn(line)
    answers.write(work / answers.FILE, task, answered, data)
    return scores


def answer_splits(state: RunState, work: Path) -> Iterator[Answers]:
    """Yield the answers on every split but train, or on those that a text task names."""
    if state.setup.task.kind == "generation":
        longest = state.setup.recipe.max_length
        yield from answer_texts(state.model, state.setup.tokenizer, state.setup.task, state.data, work, longest)
        return
    for name, split in state.data.items():
        if name != "train" and state.setup.task.kind == "language_modeling":
            yield measure(state.model, state.setup, split)
        elif name != "train":
            yield evaluate(state.model, state.setup, split, work)
