"""Several labels a row, and multiple choice: loss and logits beside a plain computation with torch and transformers."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForMultipleChoice

from dsee_bench import config, plan
from dsee_bench.models.heads import for_task
from dsee_bench.runs import sweep
from dsee_bench.tasks.example import Example, Question, split_of
from dsee_bench.training.batch import SortedByLength, collator, encode
from dsee_bench.training.evaluate import answers_of, probabilities_of
from dsee_bench.training.job import Setup
from dsee_bench.training.train import loss_batches

QUESTIONS = [
    Question(("the cup fell", "the cup fell"), ("it was full", "it broke into many small pieces"), 1),
    Question(("she ran",) * 4, ("home", "to the old house", "and ran", "a cat"), 2),
    Question(("it rained",) * 3, ("so we stayed", "the sun", "a very long answer that nobody would choose"), 0),
]
LABELLED = [
    Example(("a fine day",), (1, 0, 1)),
    Example(("no",), (0, 0, 0)),
    Example(("a long and sad story",), (0, 1, 1)),
]


def loaded(backbone, labels, kind):
    settings = plan.read(sweep.resolved([f"backbone={backbone}", "method=full", "train.precision=fp32"]))
    torch.manual_seed(0)
    made = settings.backbone.load(labels, regression=labels == 1)
    for_task(made.model, kind)
    return settings, made.model.eval(), made.tokenizer


def by_hand(model, tokenizer, question):
    """The scores of each choice, one forward pass each, without padding."""
    scores = []
    for context, choice in zip(question.contexts, question.choices, strict=True):
        inputs = tokenizer(context, choice, return_tensors="pt")
        scores.append(model(**inputs).logits.reshape(()))
    return torch.stack(scores)


@pytest.mark.parametrize("backbone", [name for name in config.options("backbone") if name.startswith("tiny-")])
def test_choices_are_compared_by_softmax(backbone):
    _, model, tokenizer = loaded(backbone, 1, "multiple_choice")
    rows = encode(QUESTIONS, tokenizer, 32)
    with torch.no_grad():
        batch = collator(tokenizer, rows)(list(rows))
        outputs = model(**batch)
        scores = [by_hand(model, tokenizer, question) for question in QUESTIONS]
    expected = torch.stack([-score.log_softmax(0)[q.label] for score, q in zip(scores, QUESTIONS, strict=True)]).mean()
    assert outputs.logits.shape == (3, 4)
    for row, score in zip(outputs.logits, scores, strict=True):
        assert torch.allclose(row[: len(score)], score, atol=1e-5)
        assert torch.isneginf(row[len(score) :]).all()
    assert outputs.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_logits_are_those_of_the_model_for_multiple_choice():
    """BERT with the same weights under AutoModelForMultipleChoice, which takes (questions, choices, tokens)."""
    _, model, tokenizer = loaded("tiny-bert", 1, "multiple_choice")
    theirs = AutoModelForMultipleChoice.from_config(model.config).eval()
    missing = theirs.load_state_dict(model.state_dict())
    assert not missing.missing_keys
    questions = [Question(QUESTIONS[0].contexts, QUESTIONS[0].choices, 1), Question(("x y",) * 2, ("a", "b c d"), 0)]
    rows = encode(questions, tokenizer, 32)
    pairs = [list(zip(question.contexts, question.choices, strict=True)) for question in questions]
    inputs = tokenizer([pair for each in pairs for pair in each], padding=True, return_tensors="pt")
    shaped = {name: value.reshape(2, 2, -1) for name, value in inputs.items()}
    with torch.no_grad():
        said = theirs(**shaped, labels=torch.tensor([1, 0]))
        outputs = model(**collator(tokenizer, rows)(list(rows)))
    assert torch.allclose(outputs.logits, said.logits, atol=1e-6)
    assert outputs.loss.item() == pytest.approx(said.loss.item(), rel=1e-6)


def test_several_labels_have_the_binary_cross_entropy_of_each():
    _, model, tokenizer = loaded("tiny-bert", 3, "multi_label")
    rows = encode(LABELLED, tokenizer, 32)
    batch = collator(tokenizer, rows)(list(rows))
    with torch.no_grad():
        outputs = model(**batch)
    targets = torch.tensor([example.label for example in LABELLED], dtype=torch.float32)
    odds = torch.sigmoid(outputs.logits)
    expected = -(targets * odds.log() + (1 - targets) * (1 - odds).log()).mean()
    assert outputs.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_losses_for_pruning_are_those_of_the_batches():
    """Scores that are made of gradients see the loss of all questions, whatever parts a batch is split into."""
    for parts in (1, 3):
        settings, model, tokenizer = loaded("tiny-bert", 1, "multiple_choice")
        recipe = settings.recipe.__class__(
            **{**vars(settings.recipe), "batch_size": 3, "gradient_accumulation_steps": parts}
        )
        setup = Setup(tokenizer, settings.task, recipe, "cpu")
        split = split_of("train", QUESTIONS)
        with torch.no_grad():
            loss = sum(loss_batches(model, setup, split, batches=1, seed=0))
            batch = collator(tokenizer)(list(encode(QUESTIONS, tokenizer, recipe.max_length)))
            assert float(loss) == pytest.approx(float(model(**batch).loss), rel=1e-5)


def test_questions_are_sorted_by_their_longest_choice():
    _, _, tokenizer = loaded("tiny-bert", 1, "multiple_choice")
    rows = encode(QUESTIONS, tokenizer, 32)
    lengths = [
        max(len(tokenizer(context, choice).input_ids) for context, choice in zip(q.contexts, q.choices, strict=True))
        for q in QUESTIONS
    ]
    assert rows.lengths == lengths
    assert rows.widest == 4
    assert SortedByLength(rows).order == sorted(range(3), key=lambda row: -lengths[row])
    assert encode(QUESTIONS, tokenizer, 8).cut == 3


ANSWERS = [
    # kind, threshold, logits, answers, why
    ("multi_label", 0.5, [[0.1, -0.1], [0.0, 3.0]], [[1, 0], [0, 1]], "above one half; a logit of 0 is not"),
    ("multi_label", 0.9, [[2.0, 2.3]], [[0, 1]], "the sigmoid of 2.2 is 0.9"),
    ("multiple_choice", 0.5, [[-3.0, -1.0, -np.inf], [0.0, -1.0, 2.0]], [1, 2], "a missing choice is never the answer"),
    ("classification", 0.5, [[1.0, 0.0]], [0], "as before"),
]


@pytest.mark.parametrize(("kind", "threshold", "logits", "answers", "why"), ANSWERS)
def test_answers(kind, threshold, logits, answers, why):
    assert answers_of(np.array(logits), kind, threshold) == answers, why


@pytest.mark.parametrize(
    ("kind", "logits"), [("multi_label", [[np.nan, 0.0]]), ("multiple_choice", [[-np.inf, -np.inf]])]
)
def test_answers_that_are_not_finite(kind, logits):
    with pytest.raises(ValueError, match="1 of 1 answers are not finite"):
        answers_of(np.array(logits), kind)


def test_probabilities():
    assert probabilities_of(np.array([[0.0, np.log(3)]]), "multi_label").tolist() == [[0.5, pytest.approx(0.75)]]
    shares = probabilities_of(np.array([[0.0, np.log(3), -np.inf]]), "multiple_choice").tolist()
    assert shares == [[pytest.approx(0.25), pytest.approx(0.75), 0.0]]
