"""What a bootstrap draws from: sums over outputs that make the very score."""

import numpy as np
import pytest

from dsee_bench.metrics import Sums, mean_of, nlg
from dsee_bench.metrics.nlg.corpus import corpus_of
from dsee_bench.metrics.nlg.mteval import bleu_of_row
from dsee_bench.report.statistics import over_texts

OUTPUTS = [
    "the pub is cheap and open",
    "a mill",
    "",
    "there is a mill by the old river",
    "cheap food is in the pub",
    "no mill",
]
REFERENCES = [
    ["the pub is cheap", "the pub is open and cheap"],
    ["there is a mill by the river"],
    ["an empty one"],
    ["there is a mill by the river", "by the river is a mill", "the mill is by the old river"],
    ["the pub has cheap food"],
    ["no mill"],
]
SUMS = [
    (protocol, name)
    for protocol, metrics in nlg.METRICS.items()
    for name in metrics
    if nlg.find(protocol, name).has_sums and name != "METEOR_nltk"  # it needs WordNet, which is not here
]


def test_the_scores_that_people_compare_are_there():
    assert {("e2e", "BLEU"), ("webnlg", "BLEU"), ("dart", "BLEU"), ("webnlg", "TER"), ("e2e", "CIDEr")} <= set(SUMS)


@pytest.mark.parametrize(("protocol", "name"), SUMS)
def test_the_sums_make_the_score(protocol, name):
    corpus = corpus_of(OUTPUTS, REFERENCES, columns=3, source="test")
    sums = nlg.sums(protocol, corpus, name)
    (score,) = nlg.score(protocol, corpus, split="test", names=[name])
    assert len(sums.rows) == len(OUTPUTS)
    assert score.value > 0
    assert sums.score([sum(column) for column in zip(*sums.rows, strict=True)]) == pytest.approx(score.value, rel=1e-12)


def test_the_bootstrap_of_a_mean_agrees_with_its_normal_approximation():
    generator = np.random.default_rng(0)
    a = generator.normal(0.50, 0.1, 800)
    b = a + generator.normal(0.01, 0.05, 800)
    told = over_texts(mean_of(a), mean_of(b))
    half = 1.96 * (b - a).std() / np.sqrt(800)
    assert told.difference == pytest.approx((b - a).mean(), abs=1e-12)
    assert told.low == pytest.approx((b - a).mean() - half, abs=0.15 * half)
    assert told.high == pytest.approx((b - a).mean() + half, abs=0.15 * half)
    assert told.examples == 800


def test_a_resample_is_scored_as_a_corpus():
    """BLEU of the texts that are drawn, not a mean of their BLEUs: sacrebleu's over the same resamples."""
    from sacrebleu.metrics import BLEU

    corpus = corpus_of(OUTPUTS, REFERENCES, columns=3, source="test")
    rows = nlg.sums("dart", corpus, "BLEU").rows
    metric = BLEU(tokenize="none", smooth_method="none", force=True)
    for drawn in ([0, 0, 3, 4], [3, 3, 1], [0, 1, 2, 3, 4, 4]):
        streams = [[[*group, "", ""][place] for group in (REFERENCES[one] for one in drawn)] for place in range(3)]
        expected = metric.corpus_score([OUTPUTS[one] for one in drawn], streams).score
        assert bleu_of_row(
            [sum(column) for column in zip(*(rows[one] for one in drawn), strict=True)]
        ) == pytest.approx(expected, rel=1e-12)


def test_the_same_texts_are_drawn_for_both():
    """B is A and a tenth more for each text: the difference has no spread."""
    values = [(1.0, 1.0), (2.0, 1.0), (7.0, 1.0)]
    a = mean_of(value for value, _ in values)
    told = over_texts(a, Sums(tuple((value + 0.1, n) for value, n in values), a.score))
    assert (told.low, told.high) == (pytest.approx(0.1), pytest.approx(0.1))
