import random

import pytest

from dsee_bench.metrics.nlg import measure
from dsee_bench.metrics.nlg.ter import ter
from dsee_bench.metrics.nlg.tercom import _cells, cells_without_beam, edits_and_length

CASES = [
    # output,           references,               edits, why
    ("a b c", ["a b c"], 0, "equal"),
    ("a b c d", ["a b c"], 1, "one word too many"),
    ("a b", ["a b c"], 1, "one word missing"),
    ("a x c", ["a b c"], 1, "one word exchanged"),
    ("c a b", ["a b c"], 1, "one word moved, not two edits"),
    ("d e a b c", ["a b c d e"], 1, "a phrase moved is one edit"),
    ("b a d c", ["a b c d"], 2, "two moves"),
    ("", ["a b c"], 3, "an empty output lacks every word"),
    ("a b", ["x y z", "a b q"], 1, "the nearest reference counts"),
    (
        "this week the saudis denied information published in the new york times",
        ["saudi arabia denied this week information published in the american new york times"],
        4,
        "the paper's own example: a move, an insertion, two substitutions (Snover et al. 2006, Section 3)",
    ),
]


@pytest.mark.parametrize(("output", "references", "edits", "why"), CASES)
def test_edits(output, references, edits, why):
    found, length = edits_and_length(output.split(), [reference.split() for reference in references])
    assert found == edits, why
    assert length == sum(len(reference.split()) for reference in references) / len(references)


def test_long_texts_without_a_word_in_common():
    found, length = edits_and_length([f"a{number}" for number in range(80)], [[f"b{number}" for number in range(90)]])
    assert (found, length) == (90, 90)


def test_the_fast_alignment_is_that_of_the_beam():
    """Random texts, some so unlike that the beam gives paths up; the slow way is the one that the totals below fix."""
    draw, given_up = random.Random(0), 0
    for _ in range(300):
        words = draw.choice(["ab", "abcde", "abcdefghijklmnopqrstuvwxyz"])
        hypothesis, reference = ("".join(draw.choices(words, k=draw.randrange(45))) for _ in range(2))
        fast = cells_without_beam(hypothesis, reference)
        given_up += fast is None
        assert fast in (None, _cells(hypothesis, reference)), (hypothesis, reference)
    assert 0 < given_up < 150


# tercom 0.7.25 on the WebNLG challenge 2017: edits, which the stated totals give with 43,309.17 reference words. Two
# more were tried by hand and equal to the edit: Tilburg_University-1 26,397 (0.60950), ADAPT_Centre 36,781 (0.84927).
PUBLISHED = [
    ("UIT-DANGNT-CLNLP", 35838, 0.8274922552962218),
    pytest.param("Tilburg_University-3", 24514, 0.56602, marks=pytest.mark.slow),
    pytest.param("Baseline", 26552, 0.61308, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("team", "edits", "stated"), PUBLISHED)
def test_published_totals(webnlg_system, team, edits, stated):
    measured = measure(ter, webnlg_system(f"metrics/webnlg2017/teams/{team}_all-cat.txt"))
    assert measured.value == pytest.approx(stated, abs=5e-6)
    assert measured.value == pytest.approx(edits / 43309.1666667)
