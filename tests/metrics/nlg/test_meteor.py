import shutil

import pytest

from dsee_bench.metrics.nlg import measure
from dsee_bench.metrics.nlg import meteor as module
from dsee_bench.metrics.nlg.corpus import corpus_of
from dsee_bench.metrics.nlg.meteor import find_java, meteor
from dsee_bench.metrics.nlg.meteor_nltk import meteor_nltk
from dsee_bench.metrics.nlg.meteor_ptb import meteor_ptb

CORPUS = corpus_of(["the mill is a pub"], [["the mill is a pub .", "a pub"]], columns=2, source="test")


@pytest.fixture
def java():
    if find_java() is None:
        pytest.skip("no java on this machine: METEOR 1.5 cannot run")


@pytest.mark.slow
@pytest.mark.usefixtures("java")
def test_published_e2e(e2e_system):
    # e2e-metrics on tnt1, as the challenge's paper prints it. Tried by hand: tgen 0.4483 and tr2 0.3968, as printed.
    assert measure(meteor_ptb, e2e_system("tnt1")).value == pytest.approx(0.4517, abs=5e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("java")
def test_published_webnlg(webnlg_system):
    # The challenge's own log. Tried by hand: Tilburg-3 0.30834, Tilburg-1 0.34878, ADAPT 0.31598, all as stated.
    stated = 0.09920650308713085
    measured = measure(meteor, webnlg_system("metrics/webnlg2017/teams/UIT-DANGNT-CLNLP_all-cat.txt"))
    assert measured.value == pytest.approx(stated, abs=1e-9)


def test_without_java_it_is_missing_and_says_why(monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    measured = measure(meteor, CORPUS)
    assert measured.value is None
    assert "no java" in measured.reason
    assert meteor.signature(*CORPUS.data).startswith("METEOR-1.5|-l en -norm|refs:2|test|")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'Error: out of memory' >&2; exit 3", "failed with exit code 3: Error: out of memory"),
        ("exit 0", "failed with exit code 0: it said nothing"),
        ("sleep 30", "did not finish"),
    ],
)
def test_a_java_that_fails_is_missing_and_says_why(tmp_path, monkeypatch, script, expected):
    fake = tmp_path / "bin" / "java"
    fake.parent.mkdir()
    fake.write_text(f"#!{shutil.which('sh')}\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(module, "LIMIT", 0.5)
    measured = measure(meteor, CORPUS)
    assert measured.value is None
    assert expected in measured.reason


def test_nltk_without_wordnet_is_missing_and_says_why(monkeypatch):
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    measured = measure(meteor_nltk, CORPUS)
    assert measured.value is None
    assert "WordNet" in measured.reason
