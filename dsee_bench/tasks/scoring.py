"""Scores of generated texts on a data-to-text split, as the data set's authors compute them.

WebNLG's are of all entries, then of those in seen and in unseen categories, with _seen and _unseen added to the names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dsee_bench.metrics import Sums, nlg
from dsee_bench.metrics.nlg.corpus import Corpus
from dsee_bench.record import Score
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


def subsets(
    protocol: nlg.Protocol, examples: Sequence[Generation], outputs: Sequence[str], *, source: str
) -> tuple[Subset, ...]:
    """Return the whole split and, of WebNLG's, the seen and the unseen entries where it has both.

    `source` says where the references are from. An entry without a reference (WebNLG's dev has one) is left out.
    """
    chosen, texts = scorable(examples, outputs)
    corpus = nlg.corpus_from_data(protocol, texts, [example.references for example in chosen], source=source)
    seen = [is_seen(example) for example in chosen]
    if protocol != "webnlg" or all(seen) or not any(seen):
        return (Subset("", corpus),)
    unseen = [not one for one in seen]
    return Subset("", corpus), _subset("seen", corpus, seen), _subset("unseen", corpus, unseen)


def _subset(name: str, corpus: Corpus, keep: Sequence[bool]) -> Subset:
    subset = corpus.subset(keep)
    return Subset(f"_{name}", replace(subset, source=f"{corpus.source}, {len(subset)} entries of {name} categories"))


def sums_of(
    protocol: nlg.Protocol, examples: Sequence[Generation], outputs: Sequence[str], names: Sequence[str]
) -> dict[str, Sums]:
    """Return the sums of those scores in `names` that are functions of sums over outputs, by the scores' names."""
    candidates = {
        f"{metric}{subset.suffix}": nlg.sums(protocol, subset.corpus, metric)
        for subset in subsets(protocol, examples, outputs, source="")
        for metric in nlg.METRICS[protocol]
        if f"{metric}{subset.suffix}" in names
    }
    return {name: sums for name, sums in candidates.items() if sums is not None}


def score_outputs(
    protocol: nlg.Protocol,
    examples: Sequence[Generation],
    outputs: Sequence[str],
    *,
    names: Sequence[str],
    split: str,
    source: str,
) -> tuple[Score, ...]:
    """Return every Score of a split: `outputs` are one text an example, in their order."""
    chosen = subsets(protocol, examples, outputs, source=source)
    return tuple(score for subset in chosen for score in subset.scores(protocol, names, split))
