"""SQuAD's two scores, ROUGE of summarisation papers, and answers that a pattern finds."""

import random
import string
import subprocess
import sys

import pytest
import sacrebleu

from dsee_bench.metrics import load, nlg
from dsee_bench.tasks.generation import Prompt
from dsee_bench.tasks.scoring import found_answer, score_outputs, sums_of


def value(name, prediction, *references):
    return load(f"nlg.{name}")([prediction], [references]).value


@pytest.mark.parametrize(
    # by hand: lower case, without punctuation and articles; F1 is 2 x shared / (words of both)
    ("prediction", "references", "exact", "f1"),
    [
        ("The Denver  Broncos!", ["Denver Broncos"], 1, 1),
        ("denver", ["Denver Broncos"], 0, 2 / 3),
        ("the city of Denver", ["Denver Broncos", "city of Denver"], 1, 1),
        ("Denver Denver", ["Denver"], 0, 2 / 3),
        ("U.S. Army", ["US army"], 1, 1),
        ("well-known", ["wellknown"], 1, 1),
        ("Atheneum", ["Athens"], 0, 0),
        ("theatre", ["the atre"], 0, 0),
        ("", ["Denver"], 0, 0),
        ("the", ["a"], 1, 0),
        ("19,000", ["19000"], 1, 1),
        ("a b c d", ["b d e", "c d e f g"], 0, 2 * 2 / 6),
    ],
)
def test_squads_scores(prediction, references, exact, f1):
    assert value("exact_match", prediction, *references) == exact
    assert value("token_f1", prediction, *references) == pytest.approx(f1)


def test_squads_scores_are_means_over_the_predictions():
    predictions, references = ["Ann", "Bob B."], [["Ann"], ["Bob", "Eve"]]
    assert load("nlg.exact_match")(predictions, references).value == 0.5
    found = load("nlg.token_f1")(predictions, references)
    assert found.value == pytest.approx((1 + 2 / 3) / 2)
    assert found.sums.score([sum(column) for column in zip(*found.sums.rows, strict=True)]) == pytest.approx(
        found.value
    )


def plain(text):
    """SQuAD's preparation, written anew from its paper's appendix: what evaluate's squad does before it compares."""
    kept = text.lower().translate(str.maketrans("", "", string.punctuation))
    return [word for word in kept.split() if word not in ("a", "an", "the")]


def shared_f1(prediction, reference):
    left = list(reference)
    for word in prediction:
        if word in left:
            left.remove(word)
    shared = len(reference) - len(left)
    if shared == 0:
        return 0
    precision, recall = shared / len(prediction), shared / len(reference)
    return 2 * precision * recall / (precision + recall)


def test_squads_scores_by_its_definition():
    draw = random.Random(0)
    words = ["the", "a", "An", "Denver", "Broncos", "19,000", "U.S.", "café", "well-known", "of", "it's", "-"]
    for _ in range(300):
        prediction, *group = (" ".join(draw.choices(words, k=draw.randint(1, 6))) for _ in range(4))
        assert value("exact_match", prediction, *group) == any(plain(text) == plain(prediction) for text in group)
        best = max(shared_f1(plain(prediction), plain(text)) for text in group)
        assert value("token_f1", prediction, *group) == pytest.approx(best)


@pytest.mark.parametrize(
    # by hand: the stemmer makes "cat" of "cats"; F is 2 x shared / (n-grams of both)
    ("name", "best"),
    [("rouge1", 2 * 3 / 7), ("rouge2", 2 * 2 / 5), ("rougeL", 2 * 3 / 7)],
)
def test_rouge_takes_the_best_reference(name, best):
    assert value(name, "The cats sat", "a dog", "the cat sat down") == pytest.approx(best)


def test_rouge_by_its_package():
    predictions = ["Police killed the gunman.", "The gunman was running in the police station"]
    references = [["The gunman was killed by the police."], ["Running the station", "the police ran"]]
    from rouge_score.rouge_scorer import RougeScorer  # late: absl, which it needs, keeps standard error as it then is

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    for name in ("rouge1", "rouge2", "rougeL"):
        each = [
            max(scorer.score(reference, prediction)[name].fmeasure for reference in group)
            for prediction, group in zip(predictions, references, strict=True)
        ]
        found = load(f"nlg.{name}")(predictions, references)
        assert found.value == pytest.approx(sum(each) / 2)
        assert load(f"nlg.{name}").signature().startswith(f"{name}|stemmer:porter|best reference|rouge-score ")


def test_sacrebleu_by_its_package():
    predictions, references = ["The cat sat on the mat .", "a dog"], [["the cat sat on a mat.", "x"], ["a Dog runs"]]
    columns = [["the cat sat on a mat.", "a Dog runs"], ["x", None]]
    assert load("nlg.sacre_bleu")(predictions, references).value == sacrebleu.corpus_bleu(predictions, columns).score


GSM8K = r"####\s*(-?[\d.,]+)"


@pytest.mark.parametrize(
    ("pattern", "text", "answer"),
    [
        (GSM8K, "48/2 = <<48/2=24>>24\n#### 72", "72"),
        (GSM8K, "#### 1,234,567.", "1234567"),
        (GSM8K, "#### -3.5", "-3.5"),
        (GSM8K, "#### 1 no, #### 2", "2"),
        (GSM8K, "it is 72", ""),
        (r"-?\d+", "3 and then 14 apples", "14"),
        ("(yes)|no", "no", ""),
    ],
)
def test_the_answer_in_a_text(pattern, text, answer):
    assert found_answer(pattern, text) == answer


class Sums:
    protocol = "answer"
    answer_pattern = GSM8K


def scored(outputs, names=("exact_match",)):
    examples = [Prompt("", ("2 + 3 = 5\n#### 5",)), Prompt("", ("#### 1,000",)), Prompt("", ("#### -5",))]
    return score_outputs(Sums, examples, outputs, names=names, split="test", source="here")


def test_answers_are_compared_and_not_texts():
    (score,) = scored(["#### 5", "a thousand: #### 1000", "#### 5"])
    assert score.value == pytest.approx(2 / 3), "-5 is not 5"
    assert "of answers" in score.signature
    assert GSM8K in score.signature
    assert [score.value for score in scored(["5", "#### 100", ""])] == [0], "what has no answer is wrong"
    with pytest.raises(ValueError, match=r"answer_pattern=.* finds nothing in the reference 'five'"):
        score_outputs(Sums, [Prompt("", ("five",))], ["#### 5"], names=["exact_match"], split="test", source="")


def test_compare_draws_from_the_answers():
    examples = [Prompt("", ("#### 5",)), Prompt("", ("#### 6",))]
    sums = sums_of(Sums, examples, ["#### 5", "#### 7"], ["exact_match"])
    assert [row[0] for row in sums["exact_match"].rows] == [1, 0]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["rouge-l"], "no metric 'rouge-l' for texts; did you mean 'rougeL'"),
        ([], "at least one"),
        (["TER"] * 2, "twice"),
    ],
)
def test_a_metric_that_there_is_not(names, said):
    with pytest.raises(ValueError, match=said):
        nlg.check("text", names)


def test_only_what_the_metrics_need_must_be_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    nlg.check_installed("answer", ["exact_match", "token_f1"])
    with pytest.raises(ValueError, match="scoring texts needs rouge_score, not installed"):
        nlg.check_installed("text", ["exact_match", "rouge2"])
    with pytest.raises(ValueError, match="scoring e2e texts needs nltk"):
        nlg.check_installed("e2e", ["BLEU"])


def test_rouge_closes_no_stream_of_the_program_around_it():
    """Hydra's logging of a sweep closes all handlers, absl's too, whose stream another one has replaced since."""
    program = """
import io, logging, sys
from dsee_bench.metrics import load
sys.stderr = before = io.StringIO()
assert load("nlg.rouge1")(["a"], [["a"]]).value == 1
sys.stderr = io.StringIO()
logging.shutdown()
print(before.closed)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
