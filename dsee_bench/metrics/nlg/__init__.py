"""Scores of generated texts that equal the official ones, one data set's protocol at a time.

    corpus_from_data("webnlg", outputs, references, source="...")  a data set's references, as its authors prepare them
    corpus_from_files(outputs, columns, source="...")              aligned texts, taken as they are
    score("webnlg", corpus, split="test")                          a Score for each of the protocol's metrics

Each metric's file says which official number it equals; tests/metrics/nlg compares them with published ones.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Literal

from dsee_bench.metrics import Measured, Metric, Sums, load
from dsee_bench.metrics.nlg.corpus import Corpus, corpus_of
from dsee_bench.metrics.nlg.prepare import REFERENCES, fold, spaced
from dsee_bench.record import Score
from dsee_bench.system.extras import require

Protocol = Literal["e2e", "webnlg", "dart", "text", "answer"]  # text, answer: of any data set; whole texts, or answers

_NLTK = {"METEOR_nltk": "meteor_nltk"}
_WEBNLG = {"METEOR": "meteor", "TER": "ter", "chrF++": "chrf", **_NLTK}
_E2E = {"BLEU": "bleu", "NIST": "nist", "METEOR": "meteor_ptb", "ROUGE_L": "rouge_l", "CIDEr": "cider", **_NLTK}
_TEXT = {
    **_E2E,
    **{"sacreBLEU": "sacre_bleu", "TER": "ter", "chrF++": "chrf"},
    **{name: name for name in ("rouge1", "rouge2", "rougeL", "exact_match", "token_f1")},
}
METRICS: Mapping[Protocol, Mapping[str, str]] = {  # a score's name -> the file of what it means in the protocol
    "e2e": _E2E,
    "webnlg": {"BLEU": "multi_bleu", **_WEBNLG},
    "dart": {"BLEU": "multi_bleu_cased", **_WEBNLG},
    "text": _TEXT,
    "answer": {**_TEXT, "exact_match": "answer_match"},
}
_MODULES = {  # a metric's file -> what it imports of the extra "nlg"
    **dict.fromkeys(("bleu", "nist", "sacre_bleu", "chrf"), ("sacrebleu",)),
    **dict.fromkeys(("meteor_ptb", "rouge_l", "cider"), ("pycocoevalcap",)),
    **{"ter": ("rapidfuzz",), "meteor_nltk": ("nltk",)},
    **dict.fromkeys(("rouge1", "rouge2", "rougeL"), ("rouge_score",)),
}


def check(protocol: Protocol, names: Sequence[str]) -> None:
    """Raise ValueError unless every name is a metric of the protocol, and none stands twice."""
    for name in names:
        if name not in METRICS[protocol]:
            near = difflib.get_close_matches(name, METRICS[protocol], n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            whose = "texts" if protocol in ("text", "answer") else protocol
            raise ValueError(f"no metric {name!r} for {whose}; {hint}there are {', '.join(METRICS[protocol])}")
    if not names or len(set(names)) != len(names):
        raise ValueError(f"metrics must name at least one and none twice, got {list(names)}")


def check_installed(protocol: Protocol, names: Sequence[str]) -> None:
    """Raise ValueError, before texts are written, if the packages that score them are missing."""
    needed = {"sacrebleu", "rapidfuzz", "pycocoevalcap", "nltk"}
    if protocol in ("text", "answer"):
        needed = {module for name in names for module in _MODULES.get(METRICS[protocol][name], ())}
    require("nlg", "scoring texts" if protocol in ("text", "answer") else f"scoring {protocol} texts", *sorted(needed))


def corpus_from_data(
    protocol: Protocol, outputs: Sequence[str], references: Sequence[Sequence[str]], *, source: str
) -> Corpus:
    """Return outputs and a data set's own references, both prepared as its authors do before scoring.

    E2E and any other data set: as they stand. DART: words and marks apart, lower-case, three references. WebNLG: that,
    and ASCII. What was prepared before it is handed in comes out the same, whatever its author left undone.
    """
    if protocol in ("e2e", "text", "answer"):
        return corpus_of(outputs, references, columns=max(map(len, references), default=0), source=source)
    ascii_too = fold if protocol == "webnlg" else str
    ready = [spaced(ascii_too(text)) for text in outputs]
    # An empty text at the end of a group is no reference, but one among the first three takes a place.
    groups = [[spaced(ascii_too(text)) for text in group[:REFERENCES]] for group in references]
    how = f"first {REFERENCES}, words apart, lower-case{', ASCII' if protocol == 'webnlg' else ''}; outputs likewise"
    return corpus_of(ready, groups, columns=REFERENCES, source=f"{source} ({how})")


def corpus_from_files(outputs: Sequence[str], columns: Sequence[Sequence[str]], *, source: str) -> Corpus:
    """Return outputs and aligned columns of references, as they are; an empty line in a column is no reference."""
    for number, column in enumerate(columns, start=1):
        if len(column) != len(outputs):
            raise ValueError(
                f"{len(outputs)} outputs, but column {number} of the references has {len(column)} lines; "
                f"line n of each must belong to the same context"
            )
    return corpus_of(outputs, list(zip(*columns, strict=True)), columns=len(columns), source=source)


def score(protocol: Protocol, corpus: Corpus, *, split: str, names: Sequence[str] | None = None) -> tuple[Score, ...]:
    """Return a Score for each of `names` (None: all of the protocol's); one that cannot be computed says why."""
    chosen = tuple(METRICS[protocol]) if names is None else tuple(names)
    check(protocol, chosen)
    check_installed(protocol, chosen)
    metrics = {name: find(protocol, name) for name in chosen}
    return tuple(
        metric.score(measure(metric, corpus), name, split, len(corpus), *corpus.data)
        for name, metric in metrics.items()
    )


def find(protocol: Protocol, name: str) -> Metric:
    """Return the metric that a score's name means in the protocol."""
    return load(f"nlg.{METRICS[protocol][name]}")


def sums(protocol: Protocol, corpus: Corpus, name: str) -> Sums | None:
    """Return what a bootstrap of this score draws from; None for a score that is more than sums over outputs."""
    check(protocol, [name])
    metric = find(protocol, name)
    return measure(metric, corpus).sums if metric.has_sums else None


def measure(metric: Metric, corpus: Corpus) -> Measured:
    """Return the metric of a corpus."""
    return metric(corpus.outputs, corpus.padded if metric.pad else corpus.references)
