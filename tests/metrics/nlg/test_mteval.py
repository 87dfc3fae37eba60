import json
import random
from itertools import zip_longest
from pathlib import Path

import pytest

from dsee_bench.metrics.nlg import measure
from dsee_bench.metrics.nlg.bleu import bleu
from dsee_bench.metrics.nlg.corpus import corpus_of
from dsee_bench.metrics.nlg.mteval import bleu_of, count, nist_of, why_zero
from dsee_bench.metrics.nlg.nist import nist

# e2e-metrics with mteval-v13a (Perl), its default, on the E2E challenge's published outputs.
PUBLISHED = [("tgen", 0.6593, 8.6094), ("tnt1", 0.6561, 8.5105), ("tr2", 0.4202, 6.7686)]

# Twelve tiny corpora, made for this project, with what mteval-v13a (Perl) prints of them with the settings of
# e2e-metrics: one to four references, short, empty, non-ASCII and quoted outputs.
TINY = json.loads(Path(__file__).with_name("mteval.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("system", "bleu_stated", "nist_stated"), PUBLISHED)
def test_published_scores(e2e_system, system, bleu_stated, nist_stated):
    corpus = e2e_system(system)
    assert measure(bleu, corpus).value / 100 == pytest.approx(bleu_stated, abs=5e-5)
    assert measure(nist, corpus).value == pytest.approx(nist_stated, abs=5e-5)


@pytest.mark.parametrize("printed", TINY, ids=range(len(TINY)))
def test_every_digit_that_the_perl_scorer_prints(printed):
    corpus = corpus_of(printed["hypotheses"], printed["references"], columns=4, source="test")
    assert f"{measure(bleu, corpus).value / 100:.4f}" == f"{printed['BLEU']:.4f}"
    assert f"{measure(nist, corpus).value:.4f}" == f"{printed['NIST']:.4f}"
    assert (measure(nist, corpus).reason is None) == (printed["NIST"] > 0), "a printed 0 has its reason"


def test_short_outputs(e2e_system):
    """Half of the outputs are one word: counts that go below 0 would add to BLEU."""
    whole = e2e_system("tgen")
    outputs = [text.split()[0] if number % 2 else text for number, text in enumerate(whole.outputs)]
    corpus = corpus_of(outputs, whole.references, columns=45, source="test")
    assert measure(bleu, corpus).value == pytest.approx(sacrebleu_of(corpus), abs=1e-9)


def sacrebleu_of(corpus):
    """sacrebleu's BLEU with mteval's tokens and smoothing: the same unless an order has no n-gram in any output."""
    from sacrebleu.metrics import BLEU

    metric = BLEU(tokenize="13a", lowercase=True, smooth_method="exp")
    return metric.corpus_score(list(corpus.outputs), list(zip_longest(*corpus.references))).score


def test_published_segments(real_data, e2e_system):
    corpus = e2e_system("tnt1")
    lines = (real_data / "metrics/e2e/tnt1.segscores.tsv").read_text(encoding="utf-8").split("\n")[1:]
    rows = [line.split("\t") for line in lines if line]
    assert len(rows) == len(corpus) == 630
    for row, output, group in zip(rows, corpus.outputs, corpus.references, strict=True):
        sums = count((output,), (group,))
        assert row[1] == output
        assert bleu_of(sums.row, add=1) == pytest.approx(float(row[3]), abs=5.01e-5), "sentBLEU"
        assert nist_of(sums) == pytest.approx(float(row[4]), abs=5.01e-5), "NIST"


@pytest.mark.parametrize("shortest", [0, 1, 4])
def test_equal_to_sacrebleu_where_some_output_has_four_tokens(shortest):
    generator = random.Random(0)
    vocabulary = ["The", "mill", "is", "a", "cheap", "pub", "by", "the", "river", ".", ",", "£20-25", "don't", "5/5"]

    def text(least: int) -> str:
        return " ".join(generator.choices(vocabulary, k=generator.randint(least, 20)))

    outputs = [text(shortest) for _ in range(60)]
    references = [
        [text(1) for _ in range(generator.randint(1, 4))] + [output[: len(output) // 2]] for output in outputs
    ]
    corpus = corpus_of(outputs, references, columns=5, source="test")
    assert measure(bleu, corpus).value == pytest.approx(sacrebleu_of(corpus), abs=1e-9)


CASES = [
    # output,  references,               BLEU,  NIST,  why
    ("a b c d", ("a b c d",), 1.0, 2.0, "equal: four tokens of log2(4/1) bits each, longer n-grams tell nothing more"),
    ("a b c d", ("A B C D",), 1.0, 2.0, "case is ignored"),
    ("a b", ("a b",), 1.0, 1.0, "orders without an n-gram count as 1, not against the output"),
    ("e f g h", ("a b c d",), (1 / 8 * 1 / 12 * 1 / 16 * 1 / 16) ** 0.25, 0.0, "no match: 1/2, 1/4, 1/8, 1/16 of one"),
    ("", ("a b c d",), 0.0, 0.0, "an empty output"),
    (
        "a a a a",
        ("a b c d", "a x y z"),
        (1 / 4 * 1 / 6 * 1 / 8 * 1 / 8) ** 0.25,
        0.5,
        "log2(8/2) = 2 bits over 4 tokens",
    ),
]


@pytest.mark.parametrize(("output", "group", "bleu_worked", "nist_worked", "why"), CASES)
def test_worked_by_hand(output, group, bleu_worked, nist_worked, why):
    sums = count((output,), (group,))
    assert (bleu_of(sums.row), nist_of(sums)) == (pytest.approx(bleu_worked), pytest.approx(nist_worked)), why


ZEROS = [
    (("", ""), (("a b",), ("c d",)), "every output is empty"),
    (("e", "f"), (("a b",), ("c d",)), "no word of an output is in its references"),
    (("a", ""), (("a b c d e f g h",), ("i j k l m n o p",)), "1 words for 16 of the references"),
    (("a", "a"), (("a",), ("a",)), "no n-gram that matched is rare"),
]


@pytest.mark.parametrize(("outputs", "references", "reason"), ZEROS)
def test_a_nist_of_zero_says_why(outputs, references, reason):
    assert reason in why_zero(count(outputs, references))


def test_an_empty_output_has_no_token():
    sums = count(("", "a b c d"), (("a b",), ("a b c d",)))
    assert sums.row == [4, 3, 2, 1, 4, 3, 2, 1, 2 + 4]


def test_the_nearest_length_and_the_shorter_of_two():
    assert count(("a b c",), (("a b", "a b c d", "a"),)).row[-1] == 2
