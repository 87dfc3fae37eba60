import random
import subprocess
from importlib.resources import files

import pytest

from dsee_bench.metrics.nlg.meteor import find_java
from dsee_bench.metrics.nlg.ptb import DROPPED, words
from dsee_bench.tasks.dart import read_xml as read_dart
from dsee_bench.tasks.e2e import read_zip
from dsee_bench.tasks.webnlg import read_xml

# What PTBTokenizer 3.4.1 -preserveLines -lowerCase printed for each text, less the caption scorers' marks.
CASES = [
    ("It's kids-friendly.", "it 's kids-friendly", "clitic, compound, full stop"),
    ("They don't, can't and cannot", "they do n't ca n't and can not", "not is a word"),
    ("we'll I'd you've they're I'm", "we 'll i 'd you 've they 're i 'm", "the other clitics"),
    ("it’s “cheap” – ‘low’…", "it 's cheap low", "curly marks and dashes are marks too"),
    ("£20-25 or £20.50, $5, €3", "# 20-25 or # 20.50 $ 5 $ 3", "one sign for pounds, one for money"),
    ("(5 out of 5) [x]", "-lrb- 5 out of 5 -rrb- -lsb- x -rsb-", "brackets count as words"),
    ("1,000.50 3/5 10:30am 3.5m 2014-15", "1,000.50 3/5 10:30 am 3.5 m 2014-15", "numbers part from their units"),
    ("in April23,2002 and name,18L/36R", "in april23 ,2002 and name ,18 l/36r", "a mark before a digit belongs to it"),
    ("St. John lives on 5th St. with Mr. Smith", "st. john lives on 5th st. with mr. smith", "abbreviations"),
    ("the U.S. and the U.S. A.S Roma", "the u.s. and the u.s. a.s roma", "initials in a row"),
    ("Aaron S. Daggett fought. League C. He won", "aaron s. daggett fought league c he won", "initial or sentence end"),
    ("at No. 5, low no. Yes", "at no. 5 low no yes", "no. only before a number"),
    ("city center., next; centre.Near", "city center. next centre.near", "periods that are not a sentence's end"),
    ("O'Neil d'oeuvre Sana'a Ya'kub", "o'neil d'oeuvre sana'a ya kub", "apostrophes inside names"),
    (
        "rock 'n' roll, '90s, hook 'em, Cotto's boys'",
        "rock 'n' roll '90s hook 'em cotto 's boys",
        "apostrophes outside",
    ),
    ("Wait... what?! yes!! No.", "wait what ?! yes !! no", "only single marks are dropped"),
    ("AT&amp;T R&B a&b", "at&t r&b a & b", "entities, and capitals joined by &"),
    ("family - friendly family–friendly -5", "family friendly family friendly -5", "hyphens that stand alone"),
    ("http://foo.com/x?y=1. www.foo.com a@b.co.uk", "http://foo.com/x?y=1 www.foo.com a@b.co.uk", "addresses"),
    ("Café São Türk 日本語", "café são türk 日本語", "letters of any script"),
    ("", "", "nothing"),
    (" . , ; ", "", "nothing but marks"),
]


@pytest.mark.parametrize(("text", "expected", "why"), CASES)
def test_words(text, expected, why):
    assert " ".join(words(text)) == expected, why


def stanford(texts: list[str], java: str) -> list[list[str]]:
    jar = files("pycocoevalcap").joinpath("tokenizer/stanford-corenlp-3.4.1.jar")
    command = [java, "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    done = subprocess.run(command, input="\n".join(texts) + "\n", capture_output=True, text=True, check=True)
    lines = done.stdout.split("\n")[: len(texts)]
    return [[word for word in line.split() if word not in DROPPED] for line in lines]


@pytest.mark.slow
def test_agrees_with_the_java_program(real_data):
    java = find_java()
    if java is None:
        pytest.skip("no java on this machine: PTBTokenizer cannot be asked")
    webnlg = sorted((real_data / "webnlg/2017").rglob("*.xml"))
    sources = [  # texts, and how many of 4,000 may differ
        (read_zip([real_data / "e2e/e2e-dataset.zip"], "train"), 1, "E2E: 1 of 40,782 when it was written"),
        (read_xml(webnlg, "train"), 30, "WebNLG: 3 in a thousand"),
        (read_dart([real_data / "dart/v1.1.1/dart-v1.1.1-full-test.xml"], "test"), 30, "DART: 3 in a thousand"),
    ]
    for examples, allowed, why in sources:
        texts = sorted({" ".join(text.split()) for example in examples for text in example.references if text})
        chosen = random.Random(0).sample(texts, 4000)
        differ = [
            text for text, theirs in zip(chosen, stanford(chosen, java), strict=True) if list(words(text)) != theirs
        ]
        assert len(differ) <= allowed, f"{why}; {differ[:5]}"
