"""Scores of generated texts on a split, as the data set's authors compute them.

WebNLG's are of all entries, then of those in seen and in unseen categories, with _seen and _unseen added to the names.
Where a task has an `answer_pattern`, what it finds last in a text is the answer, and answers are compared.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dsee_bench.metrics import Sums, nlg
from dsee_bench.metrics.nlg.corpus import Corpus
from dsee_bench.record import Score
from dsee_bench.system.errors import shown
from dsee_bench.tasks.generation import Generation, scorable
from dsee_bench.tasks.webnlg import is_seen


@dataclass(frozen=True)
class Subset:
    """A corpus to score, and what is added to the names of its scores."""

    suffix: str
    corpus: Corpus

    def scores(self, protocol: nlg.Protocol, names: Sequence[str], split: str) -> Iterator[Score]:
        """Yield a Score for each of `names`, one after the other."""
        for name in names:
            (score,) = nlg.score(protocol, self.corpus, split=split, names=[name])
            yield replace(score, name=f"{name}{self.suffix}")


def found_answer(pattern: str, text: str) -> str:
    """Return the answer in a text: the last match of `pattern`, or its group where it has one; "" for no match.

    White space around it, a full stop after it and commas between digits are left out, as GSM8K's authors do.
    """
    last = ""
    for match in re.finditer(pattern, text):
        last = match[1 if match.re.groups else 0] or ""
    return re.sub(r"(?<=\d),(?=\d)", "", last.strip()).rstrip(".")


def answers_in(pattern: str, example: Generation) -> Generation:
    """Return an example with the answers in its references; ValueError for a reference without one."""
    answers = tuple(found_answer(pattern, text) for text in example.references)
    if not all(answers):
        text = example.references[answers.index("")]
        raise ValueError(f"task.answer_pattern={pattern!r} finds nothing in the reference {shown(text)}")
    return replace(example, references=answers)


def subsets(
    protocol: nlg.Protocol,
    examples: Sequence[Generation],
    outputs: Sequence[str],
    *,
    source: str,
    answer_pattern: str | None = None,
) -> tuple[Subset, ...]:
    """Return the whole split and, of WebNLG's, the seen and the unseen entries where it has both.

    `source` says where the references are from. An entry without a reference (WebNLG's dev has one) is left out.
    """
    chosen, texts = scorable(examples, outputs)
    if answer_pattern is not None:
        chosen = tuple(answers_in(answer_pattern, example) for example in chosen)
        texts = tuple(found_answer(answer_pattern, text) for text in texts)
        source = f"{source} (the last {answer_pattern} of each text)"
    corpus = nlg.corpus_from_data(protocol, texts, [example.references for example in chosen], source=source)
    seen = [protocol == "webnlg" and is_seen(example) for example in chosen]
    if all(seen) or not any(seen):
        return (Subset("", corpus),)
    unseen = [not one for one in seen]
    return Subset("", corpus), _subset("seen", corpus, seen), _subset("unseen", corpus, unseen)


def _subset(name: str, corpus: Corpus, keep: Sequence[bool]) -> Subset:
    subset = corpus.subset(keep)
    return Subset(f"_{name}", replace(subset, source=f"{corpus.source}, {len(subset)} entries of {name} categories"))


def sums_of(task: Any, examples: Sequence[Generation], outputs: Sequence[str], names: Sequence[str]) -> dict[str, Sums]:
    """Return the sums of those scores in `names` that are functions of sums over outputs, by the scores' names."""
    candidates = {
        f"{metric}{subset.suffix}": nlg.sums(task.protocol, subset.corpus, metric)
        for subset in subsets(task.protocol, examples, outputs, source="", answer_pattern=task.answer_pattern)
        for metric in nlg.METRICS[task.protocol]
        if f"{metric}{subset.suffix}" in names
    }
    return {name: sums for name, sums in candidates.items() if sums is not None}


def score_outputs(
    task: Any,  # one that writes texts
    examples: Sequence[Generation],
    outputs: Sequence[str],
    *,
    names: Sequence[str],
    split: str,
    source: str,
) -> tuple[Score, ...]:
    """Return every Score of a split: `outputs` are one text an example, in their order."""
    chosen = subsets(task.protocol, examples, outputs, source=source, answer_pattern=task.answer_pattern)
    return tuple(score for subset in chosen for score in subset.scores(task.protocol, names, split))
