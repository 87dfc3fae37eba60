import pytest

from dsee_bench.metrics.nlg import measure
from dsee_bench.metrics.nlg.cider import cider
from dsee_bench.metrics.nlg.corpus import corpus_of
from dsee_bench.metrics.nlg.rouge_l import numbered, rouge_l

# e2e-metrics on the published outputs: tnt1 from the challenge's own file (means of its columns), the others as its
# paper prints them (Dušek et al. 2020, Table of automatic results).
PUBLISHED = [
    pytest.param("tgen", 0.6850, 2.2338, marks=pytest.mark.slow),
    pytest.param("tnt1", 0.6839, 2.2183, marks=pytest.mark.slow),
    ("tr2", 0.5481, 1.4389),
]


@pytest.mark.parametrize(("system", "rouge_stated", "cider_stated"), PUBLISHED)
def test_published_scores(e2e_system, system, rouge_stated, cider_stated):
    corpus = e2e_system(system)
    assert measure(rouge_l, corpus).value == pytest.approx(rouge_stated, abs=5.01e-5)
    assert measure(cider, corpus).value == pytest.approx(cider_stated, abs=5.01e-5)


def test_published_segments(real_data, e2e_system):
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    lines = (real_data / "metrics/e2e/tnt1.segscores.tsv").read_text(encoding="utf-8").split("\n")[1:]
    stated = [[float(field) for field in line.split("\t")[6:8]] for line in lines if line]
    corpus = e2e_system("tnt1")
    references, outputs = numbered(corpus.outputs, corpus.references)
    ours = zip(
        Rouge().compute_score(references, outputs)[1], Cider().compute_score(references, outputs)[1], strict=True
    )
    agree = [pair for pair, theirs in zip(ours, stated, strict=True) if pair == pytest.approx(theirs, abs=5.01e-5)]
    assert len(agree) == 630


def test_an_empty_output_scores_nothing_and_stays():
    corpus = corpus_of(["", "the mill"], [["the mill is open"], ["the mill"]], columns=1, source="test")
    assert measure(rouge_l, corpus).value == pytest.approx(0.5)


def test_cider_of_one_output_says_that_it_is_always_zero():
    corpus = corpus_of(["the mill"], [["the mill"]], columns=1, source="test")
    measured = measure(cider, corpus)
    assert (measured.value, "of one context it is always 0" in measured.reason) == (0, True)
