"""What BLEU and NIST of the E2E challenge count: as mteval-v13a, the Perl program that e2e-metrics runs by default.

Both come from the same clipped n-gram counts, which are never below 0. e2e-metrics also has a Python scorer, whose
numbers are others: it counts below 0 where an output is shorter than four tokens, and its NIST takes another reference
length. sacrebleu gives the same BLEU unless some order has no n-gram at all. nltk's NIST is 1.0 to 1.5 lower on the
challenge's systems, so NIST is here.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import exp, log, log2

BLEU_ORDERS = 4
NIST_ORDERS = 5
HALF_PENALTY_AT = 1.5  # NIST: outputs 1.5 times too short lose half (Doddington 2002, Section 4)
NO_DIGIT = 5e-5  # what four decimals print as 0

Ngram = tuple[str, ...]


@dataclass
class Counts:
    """Sums over a corpus."""

    totals: list[int] = field(default_factory=lambda: [0] * NIST_ORDERS)  # n-grams of the outputs by order
    texts: int = 0  # references of all contexts
    matched: Counter[Ngram] = field(default_factory=Counter)  # clipped hits by n-gram
    known: Counter[Ngram] = field(default_factory=Counter)  # in all references, repeated ones too; () counts tokens
    rows: list[tuple[float, ...]] = field(default_factory=list)  # of each output: BLEU's hits, totals, closest length

    @property
    def row(self) -> list[float]:
        """The sums of the rows."""
        return [sum(column) for column in zip(*self.rows, strict=True)]

    @property
    def reference_length(self) -> float:
        """NIST's: the tokens of all references, divided by the mean number of references of a context."""
        return self.known[()] * len(self.rows) / self.texts


def tokens(text: str) -> list[str]:
    """Return mteval-v13a's tokens in lower case; an empty text has none."""
    return _tokenizer()(text.lower()).split()


@lru_cache(maxsize=1)
def _tokenizer() -> Callable[[str], str]:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenizer: Callable[[str], str] = Tokenizer13a()
    return tokenizer


@lru_cache(maxsize=1)  # BLEU and NIST are asked for one after the other
def count(outputs: tuple[str, ...], references: tuple[tuple[str, ...], ...]) -> Counts:
    """Count clipped matches, lengths and reference n-grams: all that BLEU and NIST need."""
    sums = Counts()
    for output, group in zip(outputs, references, strict=True):
        words, others = tokens(output), [tokens(text) for text in group]
        closest = min((abs(len(other) - len(words)), len(other)) for other in others)[1]
        hits, totals = [], []
        sums.texts += len(others)
        sums.known[()] += sum(map(len, others))
        for order in range(1, NIST_ORDERS + 1):
            in_references = [Counter(_ngrams(other, order)) for other in others]
            most: Counter[Ngram] = Counter()
            for ngrams in in_references:
                most |= ngrams
                sums.known.update(ngrams)
            matched = Counter(_ngrams(words, order)) & most
            sums.matched.update(matched)
            hits.append(matched.total())
            totals.append(max(0, len(words) - (order - 1)))
            sums.totals[order - 1] += totals[-1]
        sums.rows.append((*hits[:BLEU_ORDERS], *totals[:BLEU_ORDERS], closest))
    return sums


def _ngrams(words: Sequence[str], order: int) -> Iterator[Ngram]:
    return zip(*(words[start:] for start in range(order)), strict=False)


def bleu_of(row: Sequence[float], *, add: int = 0) -> float:
    """Return BLEU between 0 and 1 of hits and totals by order, and the closest reference length.

    The k-th order without a match counts as 1/2^k of a match, an order without any n-gram as precision 1. `add` is
    added to hits and totals of every order: the sentence BLEU of e2e-metrics adds 1.
    """
    hits, totals, closest = row[:BLEU_ORDERS], row[BLEU_ORDERS:-1], row[-1]
    if totals[0] == 0:
        return 0.0
    logs, smooth = 0.0, 1.0
    for hit, total in zip(hits, totals, strict=True):
        if total + add == 0:
            continue
        if hit + add == 0:
            smooth /= 2
        logs += log((hit + add or smooth) / (total + add))
    return exp(min(0.0, 1 - closest / totals[0]) + logs / BLEU_ORDERS)


def nist_of(sums: Counts) -> float:
    """Return NIST (Doddington 2002), with the information of an n-gram counted over all references."""
    if not sums.matched:
        return 0.0
    score = 0.0
    for order, total in enumerate(sums.totals, start=1):
        information = sum(
            hits * log2(sums.known[ngram[:-1]] / sums.known[ngram])
            for ngram, hits in sums.matched.items()
            if len(ngram) == order
        )
        score += information / max(total, 1)
    ratio = min(1.0, sums.totals[0] / sums.reference_length)
    return score * exp(log(0.5) / log(HALF_PENALTY_AT) ** 2 * log(ratio) ** 2)


def why_zero(sums: Counts) -> str | None:
    """Return why NIST is 0 in all digits that are printed; None where it is above."""
    if nist_of(sums) >= NO_DIGIT:
        return None
    if not sums.totals[0]:
        return "every output is empty"
    if not sums.matched:
        return "no word of an output is in its references"
    if sums.totals[0] < sums.reference_length:
        return (
            f"{sums.totals[0]} words for {sums.reference_length:.0f} of the references: the length penalty leaves none"
        )
    return "NIST counts an n-gram by how rare it is in the references, and no n-gram that matched is rare"


def bleu_of_row(row: Sequence[float]) -> float:
    """Return BLEU from 0 to 100."""
    return 100 * bleu_of(row)
