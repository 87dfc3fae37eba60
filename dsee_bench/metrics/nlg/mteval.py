"""BLEU and NIST as the E2E challenge counts them (e2e-metrics' Python scorer, which follows mteval-v13a).

Both come from the same clipped n-gram counts. sacrebleu gives the same BLEU to the last digit unless an output is
shorter than four tokens: there the scorer's counts go on below zero, and an empty output counts as one token. nltk's
NIST is another number (1.0 to 1.5 lower on the challenge's systems), so NIST is here.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import exp, log, log2

from dsee_bench.metrics.nlg.corpus import Corpus, Measured, Parts, signed

BLEU_ORDERS = 4
NIST_ORDERS = 5
HALF_PENALTY_AT = 1.5  # NIST: outputs 1.5 times too short lose half (Doddington 2002, Section 4)

Ngram = tuple[str, ...]


@dataclass
class Counts:
    """Sums over a corpus; lists are by order, unigrams first."""

    hits: list[int] = field(default_factory=lambda: [0] * NIST_ORDERS)
    totals: list[int] = field(default_factory=lambda: [0] * NIST_ORDERS)
    closest_length: int = 0  # tokens of the references nearest in length
    mean_length: float = 0.0  # sum of the groups' mean lengths
    matched: Counter[Ngram] = field(default_factory=Counter)  # clipped hits by n-gram
    known: Counter[Ngram] = field(default_factory=Counter)  # in all references, repeated ones too; () counts tokens
    rows: list[tuple[float, ...]] = field(default_factory=list)  # of each output: BLEU's hits, totals, closest length


def tokens(text: str) -> list[str]:
    """mteval-v13a's tokens in lower case; an empty text is one empty token, as in the scorer followed."""
    return _tokenizer()(text.lower()).split(" ")


@lru_cache(maxsize=1)
def _tokenizer() -> Callable[[str], str]:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenizer: Callable[[str], str] = Tokenizer13a()
    return tokenizer


@lru_cache(maxsize=1)  # BLEU and NIST are asked for one after the other
def count(outputs: tuple[str, ...], references: tuple[tuple[str, ...], ...]) -> Counts:
    """Clipped matches, lengths and reference n-grams: all that BLEU and NIST need."""
    sums = Counts()
    for output, group in zip(outputs, references, strict=True):
        words, others = tokens(output), [tokens(text) for text in group]
        closest = min((abs(len(other) - len(words)), len(other)) for other in others)[1]
        hits, totals = [], []
        sums.closest_length += closest
        sums.mean_length += sum(map(len, others)) / len(others)
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
            totals.append(len(words) - (order - 1))
            sums.hits[order - 1] += hits[-1]
            sums.totals[order - 1] += totals[-1]
        sums.rows.append((*hits[:BLEU_ORDERS], *totals[:BLEU_ORDERS], closest))
    return sums


def _ngrams(words: Sequence[str], order: int) -> Iterator[Ngram]:
    return zip(*(words[start:] for start in range(order)), strict=False)


def bleu_of(sums: Counts, *, add: int = 0) -> float:
    """BLEU between 0 and 1; `add` is added to hits and totals of every order (the scorer's sentence BLEU adds 1)."""
    precisions = [
        (hits + add) / (total + add) if hits + add > 0 and total + add > 0 else 0.0
        for hits, total in zip(sums.hits[:BLEU_ORDERS], sums.totals[:BLEU_ORDERS], strict=True)
    ]
    if min(precisions) <= 0:
        return 0.0
    brevity = min(1.0, exp(1 - sums.closest_length / sums.totals[0]))
    return brevity * exp(sum(map(log, precisions)) / BLEU_ORDERS)


def bleu_of_row(row: Sequence[float]) -> float:
    """BLEU from 0 to 100 of hits and totals by order, and the closest reference length."""
    hits, totals, (closest,) = row[:BLEU_ORDERS], row[BLEU_ORDERS:-1], row[-1:]
    return 100 * bleu_of(Counts([int(hit) for hit in hits], [int(total) for total in totals], int(closest)))


def nist_of(sums: Counts) -> float:
    """NIST (Doddington 2002), with the information of an n-gram counted over all references."""
    score = 0.0
    for order, total in enumerate(sums.totals, start=1):
        information = sum(
            hits * log2(sums.known[ngram[:-1]] / sums.known[ngram])
            for ngram, hits in sums.matched.items()
            if len(ngram) == order
        )
        score += information / total if total > 0 else 0.0
    ratio = min(1.0, sums.totals[0] / sums.mean_length)
    return score * exp(log(0.5) / log(HALF_PENALTY_AT) ** 2 * log(ratio) ** 2)


def bleu(corpus: Corpus) -> Measured:
    """BLEU from 0 to 100."""
    sums = count(corpus.outputs, corpus.references)
    signature = signed(corpus, "BLEU-4", "tok:13a", "case:lower", "smooth:none", "pad:none")
    return Measured(100 * bleu_of(sums), signature, parts=Parts(tuple(sums.rows), bleu_of_row))


def nist(corpus: Corpus) -> Measured:
    """NIST of orders 1 to 5, from 0 up."""
    value = nist_of(count(corpus.outputs, corpus.references))
    return Measured(value, signed(corpus, "NIST-5", "tok:13a", "case:lower", "length:mean", "as:e2e-metrics-python"))
