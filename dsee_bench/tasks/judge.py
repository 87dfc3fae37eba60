"""Scores of a model's outputs on a data-to-text split, as the data set's authors compute them.

WebNLG's are of all entries, then of those in seen and in unseen categories, with _seen and _unseen added to the names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dsee_bench.metrics import nlg
from dsee_bench.metrics.nlg.corpus import Corpus, Parts
from dsee_bench.record import Score
from dsee_bench.tasks.generation import Generation, scorable
from dsee_bench.tasks.webnlg import is_seen


@dataclass(frozen=True)
class Part:
    """A corpus to score, and what is added to the names of its scores."""

    suffix: str
    corpus: Corpus


def parts(
    protocol: nlg.Protocol, examples: Sequence[Generation], outputs: Sequence[str], *, source: str
) -> tuple[Part, ...]:
    """All of a split and, of WebNLG's, the seen and the unseen entries where there are both.

    `source` says where the references are from. An entry without a reference (WebNLG's dev has one) is left out.
    """
    kept, texts = scorable(examples, outputs)
    corpus = nlg.corpus_from_data(protocol, texts, [example.references for example in kept], source=source)
    seen = [is_seen(example) for example in kept]
    if protocol != "webnlg" or all(seen) or not any(seen):
        return (Part("", corpus),)
    return Part("", corpus), _part("seen", corpus, seen), _part("unseen", corpus, [not one for one in seen])


def _part(name: str, corpus: Corpus, keep: Sequence[bool]) -> Part:
    part = corpus.part(keep)
    return Part(f"_{name}", replace(part, source=f"{part.source}, {len(part)} entries of {name} categories"))


def score_part(protocol: nlg.Protocol, part: Part, names: Sequence[str], split: str) -> Iterator[Score]:
    """A Score for each of `names`, one after the other."""
    for name in names:
        (score,) = nlg.score(protocol, part.corpus, split=split, names=[name])
        yield replace(score, name=f"{name}{part.suffix}")


def sums_of(
    protocol: nlg.Protocol, examples: Sequence[Generation], outputs: Sequence[str], names: Sequence[str]
) -> dict[str, Parts]:
    """Of those of the scores in `names` that are functions of sums over outputs, the parts, by the scores' names."""
    found = {}
    for part in parts(protocol, examples, outputs, source=""):
        for metric in nlg.METRICS[protocol]:
            name = f"{metric}{part.suffix}"
            sums = nlg.parts(protocol, part.corpus, metric) if name in names else None
            if sums is not None:
                found[name] = sums
    return found


def score_outputs(
    protocol: nlg.Protocol,
    examples: Sequence[Generation],
    outputs: Sequence[str],
    *,
    names: Sequence[str],
    split: str,
    source: str,
) -> tuple[Score, ...]:
    """Every Score of a split: `outputs` are one text an example, in their order."""
    there = parts(protocol, examples, outputs, source=source)
    return tuple(score for part in there for score in score_part(protocol, part, names, split))
