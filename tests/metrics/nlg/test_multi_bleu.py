import pytest

from dsee_bench.metrics.nlg import measure
from dsee_bench.metrics.nlg.chrf import chrf
from dsee_bench.metrics.nlg.corpus import corpus_of
from dsee_bench.metrics.nlg.multi_bleu import multi_bleu
from dsee_bench.metrics.nlg.multi_bleu_cased import multi_bleu_cased

# multi-bleu.perl -lc with three references, by the WebNLG challenge 2017; the last by DART's authors. The slow ones'
# numbers are tested through dsee-score, too, from the references in the XML.
TEAMS = "metrics/webnlg2017/teams"
PUBLISHED = [
    (f"{TEAMS}/Tilburg_University-3_all-cat.txt", 35.29),
    pytest.param(f"{TEAMS}/Tilburg_University-1_all-cat.txt", 34.60, marks=pytest.mark.slow),
    pytest.param(f"{TEAMS}/Baseline_all-cat.txt", 33.24, marks=pytest.mark.slow),
    pytest.param(f"{TEAMS}/ADAPT_Centre_all-cat.txt", 31.06, marks=pytest.mark.slow),
    pytest.param(f"{TEAMS}/UIT-DANGNT-CLNLP_all-cat.txt", 7.07, marks=pytest.mark.slow),
    ("metrics/dart/bart-large_webnlg-all.txt", 57.68),
]


@pytest.mark.parametrize(("path", "stated"), PUBLISHED)
def test_published_bleu(webnlg_system, path, stated):
    assert measure(multi_bleu, webnlg_system(path)).value == pytest.approx(stated, abs=0.005)


def test_a_missing_reference_counts_as_an_empty_line():
    # Worked by hand: four tokens, all matched. Of the lengths 9 and 0 the nearer to 4 is 0: no brevity penalty.
    corpus = corpus_of(["a b c d"], [["a b c d e f g h i"]], columns=2, source="test")
    assert measure(multi_bleu, corpus).value == pytest.approx(100)
    alone = corpus_of(["a b c d"], [["a b c d e f g h i"]], columns=1, source="test")
    assert measure(multi_bleu, alone).value == pytest.approx(100 * 2.718281828459045 ** (1 - 9 / 4))


def test_case_counts_for_dart_alone():
    corpus = corpus_of(["the mill is open"], [["The Mill is open"]], columns=1, source="test")
    assert measure(multi_bleu, corpus).value == pytest.approx(100)
    assert measure(multi_bleu_cased, corpus).value == 0


def test_chrf_bounds_and_missing_references():
    same = corpus_of(["the mill is open", "a b"], [["the mill is open"], ["x", "a b"]], columns=2, source="test")
    assert measure(chrf, same).value == pytest.approx(100)
    other = corpus_of(["", "zzz"], [["the mill is open"], ["a b"]], columns=1, source="test")
    assert measure(chrf, other).value == pytest.approx(0, abs=1e-6)
