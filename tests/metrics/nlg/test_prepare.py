import pytest

from dsee_bench.metrics.nlg.prepare import fold, spaced
from dsee_bench.tasks.dart import read_xml as read_dart
from dsee_bench.tasks.hypotheses import read_texts
from dsee_bench.tasks.webnlg import read_xml


def test_the_challenges_reference_files_are_found_again(real_data):
    examples = list(read_xml([real_data / "webnlg/2017/testdata_with_lex.xml"], "test"))
    for number in range(3):
        theirs = read_texts(real_data / f"metrics/webnlg2017/references/gold-all-cat-reference{number}.lex")
        ours = [spaced(fold("".join(example.references[number : number + 1]))) for example in examples]
        assert ours == theirs


def test_darts_reference_files_are_found_again(real_data):
    examples = list(read_dart([real_data / "dart/v1.1.1/dart-v1.1.1-full-test.xml"], "test"))
    for number in range(3):
        theirs = read_texts(real_data / f"metrics/dart/all-delex-reference{number}.lex")
        ours = [spaced("".join(example.references[number : number + 1])) for example in examples]
        assert ours == theirs


CASES = [
    ("Adolfo Suárez Madrid–Barajas", "adolfo suarez madrid - barajas", "accents and dashes"),
    ("Lars Løkke's Straße, Anıtı", "lars lokke ' s strasse , aniti", "letters that are no letter and accent"),
    ("11,264 x_y", "11 , 264 x_y", "commas part, underscores do not"),
    ("İzmir", "izmir", "a capital that has an accent in lower case"),
    ("日本", "日本", "another script stays"),
]


@pytest.mark.parametrize(("text", "expected", "why"), CASES)
def test_fold_and_space(text, expected, why):
    assert spaced(fold(text)) == expected, why
