"""Scores of generated texts that equal the official ones, one data set's protocol at a time.

    corpus_from_data("webnlg", outputs, references, source="...")  a data set's references, as its authors prepare them
    corpus_from_files(outputs, columns, source="...")              aligned texts, taken as they are
    score("webnlg", corpus, split="test")                          a Score for each of the protocol's metrics

Each metric's file says which official number it equals; tests/metrics/nlg compares them with published ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dsee_bench.metrics.nlg import caption, edits, meteor, mteval, ngrams
from dsee_bench.metrics.nlg.corpus import Corpus, Measured, Parts, corpus_of
from dsee_bench.metrics.nlg.prepare import REFERENCES, fold, spaced
from dsee_bench.record import Score
from dsee_bench.system.extras import require

Protocol = Literal["e2e", "webnlg", "dart"]


@dataclass(frozen=True)
class Metric:
    """What a score's name means in one protocol."""

    measure: Callable[[Corpus], Measured]
    unit: str
    better: Literal["higher", "lower"] = "higher"


_WEBNLG = {
    "METEOR": Metric(meteor.meteor, "0-1"),
    "TER": Metric(edits.ter, "0-1", "lower"),
    "chrF++": Metric(ngrams.chrf, "0-100"),
    "METEOR_nltk": Metric(meteor.meteor_nltk, "0-1"),
}
NOT_SUMS = ("METEOR", "NIST", "chrF++")  # not asked for parts, which METEOR would take a minute to lack
METRICS: Mapping[Protocol, Mapping[str, Metric]] = {
    "e2e": {
        "BLEU": Metric(mteval.bleu, "0-100"),
        "NIST": Metric(mteval.nist, "0 and up"),
        "METEOR": Metric(meteor.meteor_ptb, "0-1"),
        "ROUGE_L": Metric(caption.rouge_l, "0-1"),
        "CIDEr": Metric(caption.cider, "0-10"),
        "METEOR_nltk": Metric(meteor.meteor_nltk, "0-1"),
    },
    "webnlg": {"BLEU": Metric(ngrams.bleu_lower, "0-100"), **_WEBNLG},
    "dart": {"BLEU": Metric(ngrams.bleu_cased, "0-100"), **_WEBNLG},
}


def check(protocol: Protocol, names: Sequence[str]) -> None:
    """Raise ValueError unless every name is a metric of the protocol, and none stands twice."""
    for name in names:
        if name not in METRICS[protocol]:
            raise ValueError(f"no metric {name!r} for {protocol}; there are {', '.join(METRICS[protocol])}")
    if not names or len(set(names)) != len(names):
        raise ValueError(f"metrics must name at least one and none twice, got {list(names)}")


def check_installed(protocol: Protocol) -> None:
    """Raise ValueError, before texts are written, if the packages that score them are missing."""
    require("nlg", f"scoring {protocol} texts", "sacrebleu", "rapidfuzz", "pycocoevalcap", "nltk")


def corpus_from_data(
    protocol: Protocol, outputs: Sequence[str], references: Sequence[Sequence[str]], *, source: str
) -> Corpus:
    """Outputs and a data set's own references, both prepared as its authors do before scoring.

    E2E: as they stand. DART: words and marks apart, lower-case, three references. WebNLG: that, and ASCII. What was
    prepared before it is handed in comes out the same, whatever its author left undone.
    """
    if protocol == "e2e":
        return corpus_of(outputs, references, columns=max(map(len, references), default=0), source=source)
    ascii_too = fold if protocol == "webnlg" else str
    ready = [spaced(ascii_too(text)) for text in outputs]
    # An empty text at the end of a group is no reference, but one among the first three takes a place.
    groups = [[spaced(ascii_too(text)) for text in group[:REFERENCES]] for group in references]
    how = f"first {REFERENCES}, words apart, lower-case{', ASCII' if protocol == 'webnlg' else ''}; outputs likewise"
    return corpus_of(ready, groups, columns=REFERENCES, source=f"{source} ({how})")


def corpus_from_files(outputs: Sequence[str], columns: Sequence[Sequence[str]], *, source: str) -> Corpus:
    """Outputs and aligned columns of references, taken as they are; an empty line in a column is no reference."""
    for number, column in enumerate(columns, start=1):
        if len(column) != len(outputs):
            raise ValueError(
                f"{len(outputs)} outputs, but column {number} of the references has {len(column)} lines; "
                f"line n of each must belong to the same context"
            )
    return corpus_of(outputs, list(zip(*columns, strict=True)), columns=len(columns), source=source)


def score(protocol: Protocol, corpus: Corpus, *, split: str, names: Sequence[str] | None = None) -> tuple[Score, ...]:
    """A Score for each of `names` (None: all of the protocol's); one that cannot be had is None, with the reason."""
    chosen = tuple(METRICS[protocol]) if names is None else tuple(names)
    check(protocol, chosen)
    check_installed(protocol)
    return tuple(_score(name, METRICS[protocol][name], corpus, split) for name in chosen)


def parts(protocol: Protocol, corpus: Corpus, name: str) -> Parts | None:
    """What a bootstrap of this score draws from; None for a score that is more than sums over outputs."""
    check(protocol, [name])
    return METRICS[protocol][name].measure(corpus).parts if name not in NOT_SUMS else None


def _score(name: str, metric: Metric, corpus: Corpus, split: str) -> Score:
    said = metric.measure(corpus)
    return Score(name, said.value, metric.unit, metric.better, split, len(corpus), said.signature, said.reason)
