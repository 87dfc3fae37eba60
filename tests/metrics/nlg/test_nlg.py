import subprocess
import sys

import pytest

from dsee_bench.metrics import nlg
from dsee_bench.metrics.nlg.corpus import corpus_of

PUB, MILL = "the pub is cheap and open", "there is a mill by the river"


def test_a_perfect_system():
    corpus = corpus_of([PUB, MILL], [[PUB], [MILL, "a mill"]], columns=2, source="made here")
    for protocol in ("e2e", "webnlg", "dart"):
        names = [name for name in nlg.METRICS[protocol] if not name.startswith("METEOR")]
        scores = nlg.score(protocol, corpus, split="test", names=names)
        assert [score.name for score in scores] == names
        best = {"BLEU": 100, "ROUGE_L": 1, "CIDEr": 10, "TER": 0, "chrF++": 100}
        for score in scores:
            assert score.n == 2
            assert "made here" in score.signature
            assert score.reason is None
            assert score.better == ("lower" if score.name == "TER" else "higher")
            assert score.name not in best or score.value <= best[score.name] + 1e-9
            assert score.name in ("NIST", "CIDEr") or score.value == pytest.approx(best[score.name])


def test_an_empty_output_counts():
    full = corpus_of([PUB, MILL], [[PUB], [MILL]], columns=1, source="test")
    half = corpus_of([PUB, ""], [[PUB], [MILL]], columns=1, source="test")
    for protocol in ("e2e", "webnlg"):
        names = [name for name in nlg.METRICS[protocol] if not name.startswith("METEOR")]
        before, after = (nlg.score(protocol, corpus, split="test", names=names) for corpus in (full, half))
        for one, two in zip(before, after, strict=True):
            assert two.n == 2
            assert (two.value > one.value) if one.better == "lower" else (two.value < one.value), one.name


def test_references_from_the_data_are_prepared_as_its_authors_do():
    raw = ["Suárez's PUB.", "four"]
    references = [["Suárez's pub.", "two", "three", "four"], ["four", "", ""]]
    webnlg = nlg.corpus_from_data("webnlg", raw, references, source="test")
    assert webnlg.outputs == ("suarez ' s pub .", "four")
    assert webnlg.references == (("suarez ' s pub .", "two", "three"), ("four",)), (
        "three at most, ASCII, empty ones gone"
    )
    dart = nlg.corpus_from_data("dart", raw, references, source="test")
    assert dart.outputs[0] == "suárez ' s pub .", "DART keeps accents"
    e2e = nlg.corpus_from_data("e2e", raw, references, source="test")
    assert (e2e.outputs[0], len(e2e.references[0])) == ("Suárez's PUB.", 4), "E2E takes texts as they are"
    assert "likewise" in webnlg.source


READY = [
    # protocol, as handed in,                        as scored,             why
    ("webnlg", "suárez – straße ' s pub .", "suarez - strasse ' s pub .", "ASCII as the references are"),
    ("webnlg", "suarez - strasse ' s pub .", "suarez - strasse ' s pub .", "what is folded stays"),
    ("webnlg", "Suárez – Straße's pub.", "suarez - strasse ' s pub .", "and what is raw becomes the same"),
    ("dart", "suárez – straße ' s pub .", "suárez – straße ' s pub .", "DART keeps accents"),
    ("dart", "Suárez – Straße's pub.", "suárez – straße ' s pub .", "and does not ask whether it is prepared"),
]


@pytest.mark.parametrize(("protocol", "given", "scored", "why"), READY)
@pytest.mark.parametrize("beside", ["the mill .", "The mill."])
def test_ready_made_outputs_are_folded_like_the_references(protocol, given, scored, why, beside):
    references = [["Suárez – Straße's pub."], ["The mill."]]
    corpus = nlg.corpus_from_data(protocol, [given, beside], references, source="test")
    assert corpus.outputs == (scored, "the mill ."), why
    assert corpus.references[0] == (scored,), why
    names = ["BLEU", "chrF++", "TER"]
    values = [score.value for score in nlg.score(protocol, corpus, split="test", names=names)]
    assert values == [pytest.approx(100), pytest.approx(100), 0]


ERRORS = [
    (([], []), "no output to score"),
    ((["a"], [["a"], ["b"]]), "1 outputs for 2 groups"),
    ((["a", "b"], [["a"], ["", " "]]), r"1 context\(s\) have no reference, the first is number 2"),
]


@pytest.mark.parametrize(("sides", "message"), ERRORS)
def test_what_cannot_be_scored(sides, message):
    with pytest.raises(ValueError, match=message):
        corpus_of(*sides, columns=1, source="test")


def test_columns_must_align():
    with pytest.raises(ValueError, match="2 outputs, but column 2 of the references has 1 lines"):
        nlg.corpus_from_files(["a", "b"], [["a", "b"], ["a"]], source="test")


def test_unknown_metrics():
    with pytest.raises(ValueError, match=r"no metric 'TER' for e2e; did you mean 'METEOR'\? there are BLEU, NIST"):
        nlg.check("e2e", ["TER"])
    with pytest.raises(ValueError, match="none twice"):
        nlg.check("e2e", ["BLEU", "BLEU"])


def test_nothing_heavy_is_imported_until_it_is_used():
    heavy = (
        "torch",
        "transformers",
        "datasets",
        "evaluate",
        "pandas",
        "numpy",
        "scipy",
        "nltk",
        "sacrebleu",
        "pycocoevalcap",
    )
    ours = "dsee_bench.cli.score, dsee_bench.tasks.dart, dsee_bench.tasks.toy_d2t"
    code = f"import sys, {ours}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
