"""Classification and regression metrics: equal to their sources, undefined values None, impossible ones refused."""

import random
import subprocess
import sys

import pytest

from dsee_bench import metrics
from dsee_bench.metrics import nlg

CLASSES = ("accuracy", "f1", "matthews")
NUMBERS = ("pearson", "spearman")
LABELS = ("macro_f1", "macro_precision", "macro_recall", "micro_f1", "weighted_f1")  # of classes and of multi-label
ONE_OF_MANY = (*CLASSES, "precision", "recall", "balanced_accuracy", *LABELS)
PROBABILITIES = ("roc_auc", "average_precision")

# Expected values: the examples in the documentation of scikit-learn 1.9 (accuracy_score, matthews_corrcoef with +1 as 1
# and -1 as 0) and of scipy 1.17 (pearsonr, spearmanr), and sums by hand where it says so.
KNOWN = [
    # metric, answers, references, value, why
    ("accuracy", [0, 2, 1, 3], [0, 1, 2, 3], 0.5, "scikit-learn's example"),
    ("matthews", [1, 0, 1, 1], [1, 1, 1, 0], -1 / 3, "scikit-learn's example, there rounded to -0.33"),
    ("matthews", [0, 1, 2], [0, 1, 2], 1.0, "three classes, all right"),
    ("f1", [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], 2 / 3, "by hand: 2 true, 1 false, 1 missed: 4 / (4 + 1 + 1)"),
    ("pearson", [1, 2, 3, 4, 5, 6, 7], [10, 9, 2.5, 6, 4, 3, 2], -0.828503883588428, "scipy's example"),
    ("spearman", [1, 2, 3, 4, 5], [5, 6, 7, 8, 7], 0.8207826816681233, "scipy's example, with a tie"),
    ("macro_f1", [0, 2, 1, 0, 0, 1], [0, 1, 2, 0, 1, 2], 4 / 15, "scikit-learn's example, there 0.267"),
    ("micro_f1", [0, 2, 1, 0, 0, 1], [0, 1, 2, 0, 1, 2], 1 / 3, "scikit-learn's example, there 0.33"),
    ("weighted_f1", [0, 2, 1, 0, 0, 1], [0, 1, 2, 0, 1, 2], 4 / 15, "scikit-learn's example, there 0.267"),
    ("weighted_f1", [0, 0, 0, 1], [0, 0, 1, 1], 0.5 * 4 / 5 + 0.5 * 2 / 3, "by hand: F1 4/5 and 2/3, two rows each"),
    ("macro_f1", [1, 0], [1, 1], 1 / 3, "by hand: class 0 has F1 0, class 1 has 2/3"),
    ("precision", [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], 2 / 3, "by hand: 2 true, 1 false"),
    ("recall", [1, 1, 0, 0, 0], [1, 1, 0, 1, 1], 1 / 2, "by hand: 2 true, 2 missed"),
    ("macro_precision", [0, 2, 1, 0, 0, 1], [0, 1, 2, 0, 1, 2], 2 / 9, "scikit-learn's example, there 0.22"),
    ("macro_recall", [0, 2, 1, 0, 0, 1], [0, 1, 2, 0, 1, 2], 1 / 3, "scikit-learn's example, there 0.33"),
    ("macro_recall", [0, 1, 2], [0, 0, 2], 0.5, "by hand: 1/2, class 1 without a reference 0, 1"),
    ("balanced_accuracy", [0, 1, 0, 0, 0, 1], [0, 1, 0, 0, 1, 0], 0.625, "scikit-learn's example"),
    ("balanced_accuracy", [0, 1, 2], [0, 0, 2], 0.75, "by hand: 1/2 and 1; class 1 has no reference"),
    ("mse", [2.5, 0.0, 2, 8], [3, -0.5, 2, 7], 0.375, "scikit-learn's example"),
    ("mae", [2.5, 0.0, 2, 8], [3, -0.5, 2, 7], 0.5, "scikit-learn's example"),
    ("macro_f1", [[1, 0], [1, 1]], [[1, 0], [0, 1]], (2 / 3 + 1) / 2, "by hand, multi-label"),
    ("micro_f1", [[1, 0], [1, 1]], [[1, 0], [0, 1]], 0.8, "by hand: 2 true, 1 false, none missed"),
    ("weighted_f1", [[1, 0], [1, 1], [0, 0]], [[1, 0], [0, 1], [0, 1]], 2 / 3, "by hand: 2/3 x 1/3 + 2/3 x 2/3"),
    ("exact_match", [[1, 0], [1, 1]], [[1, 0], [0, 1]], 0.5, "by hand"),
    ("exact_match", [[0, 0], [0, 1]], [[0, 0], [0, 1]], 1.0, "no label at all is an answer, too"),
]
OF_PROBABILITIES = [
    # metric, probabilities, references, value, why
    ("roc_auc", [[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]], [0, 0, 1, 1], 0.75, "scikit-learn's example"),
    ("average_precision", [[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]], [0, 0, 1, 1], 5 / 6, "there 0.83"),
    ("roc_auc", [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.75, "the probability of class 1 alone"),
    ("roc_auc", [[0.2, 0.8], [0.3, 0.7]], [0, 1], 0.0, "by hand: of class 1, 0.8 stands above 0.7"),
    (
        "average_precision",
        [[0.7, 0.2, 0.1], [0.4, 0.3, 0.3], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5], [0.4, 0.4, 0.2], [0.1, 0.2, 0.7]],
        [0, 0, 1, 1, 2, 2],
        (5 / 6 + 3 / 4 + 3 / 4) / 3,
        "scikit-learn's example, there 0.77; by hand, rows of one probability counted together",
    ),
    (
        "roc_auc",
        [[0.7, 0.2, 0.1], [0.4, 0.3, 0.3], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5], [0.4, 0.4, 0.2], [0.1, 0.2, 0.7]],
        [0, 0, 1, 1, 2, 2],
        None,
        "three classes",
    ),
    ("roc_auc", [[0.9, 0.2], [0.4, 0.8], [0.6, 0.3]], [[1, 0], [0, 1], [1, 1]], 1.0, "multi-label, all in order"),
    ("roc_auc", [[0.9, 0.2], [0.4, 0.8], [0.3, 0.3]], [[1, 0], [0, 1], [1, 1]], 0.75, "by hand: 1/2 and 1"),
]


@pytest.mark.parametrize(("name", "probabilities", "references", "value", "why"), OF_PROBABILITIES)
def test_known_value_of_probabilities(name, probabilities, references, value, why):
    if value is None:
        from sklearn.metrics import roc_auc_score

        value = roc_auc_score(references, probabilities, multi_class="ovr", average="macro")
    (score,) = metrics.score([name], references, references, "dev", probabilities)
    assert score.value == pytest.approx(value, abs=1e-12), why
    assert score.better == "higher"


@pytest.mark.parametrize(
    ("name", "answers", "references", "value", "why"), KNOWN, ids=[f"{k[0]}-{k[4]}" for k in KNOWN]
)
def test_known_value(name, answers, references, value, why):
    (score,) = metrics.score([name], answers, references, "dev")
    assert score.value == pytest.approx(value, abs=1e-12), why
    assert (score.name, score.split, score.n, score.reason) == (name, "dev", len(answers), None)


UNDEFINED = [
    # metric, answers, references, value, part of the reason, why
    ("f1", [0, 0], [0, 0], None, "class 1 is neither", "0 / 0"),
    ("f1", [0, 0, 0], [1, 0, 1], 0.0, "no answer is of class 1", "a true zero, and why"),
    ("f1", [1, 0], [0, 0], 0.0, "no reference is of class 1", "the same"),
    (
        "matthews",
        [1, 1, 1],
        [0, 1, 1],
        0.0,
        "all answers are of one class",
        "a constant answer: 0.0 as in scikit-learn",
    ),
    ("matthews", [1, 1], [1, 1], 0.0, "all answers are of one class", "one class on both sides: 0.0, and no warning"),
    ("pearson", [2.0, 2.0], [1.0, 3.0], None, "answers are all the same", "no variance"),
    ("spearman", [1.0, 2.0], [3.0, 3.0], None, "references are all the same", "no variance"),
    ("pearson", [1.0], [2.0], None, "all the same", "one row has no correlation"),
    ("spearman", [float("nan"), 2.0], [1.0, 2.0], None, "not finite", "a model that diverged"),
    ("mse", [float("inf"), 2.0], [1.0, 2.0], None, "answers hold a number that is not finite", "a model that diverged"),
    ("mae", [1.0, 2.0], [1.0, float("nan")], None, "references hold a number", "the same"),
    ("precision", [0, 0], [1, 0], None, "no answer is of class 1", "0 / 0"),
    ("precision", [1, 0], [0, 0], 0.0, None, "a true zero: one answer, wrong"),
    ("recall", [1, 0], [0, 0], None, "no reference is of class 1", "0 / 0"),
    ("recall", [0, 0], [1, 0], 0.0, None, "a true zero: one reference, missed"),
    ("macro_f1", [[0, 0]], [[0, 0]], None, "no label is set in the answers or the references", "0 / 0"),
    ("micro_f1", [[0, 0]], [[0, 0]], None, "no label is set", "0 / 0"),
    ("weighted_f1", [[1, 0]], [[0, 0]], None, "no label is set in the references", "no weight"),
    ("macro_recall", [[0, 0]], [[0, 1]], 0.0, None, "a label that is missed, and one that is nowhere"),
    ("macro_f1", [0, 0], [0, 0], 1.0, None, "class 0 alone is there"),
]
UNDEFINED_PROBABILITIES = [
    # metric, probabilities, references, reason
    ("roc_auc", [[0.2, 0.8], [0.3, 0.7]], [1, 1], "every reference is of class 1"),
    ("roc_auc", [[0.2, 0.8], [0.3, 0.7]], [0, 0], "no reference is of class 1"),
    ("roc_auc", [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1]], [1, 0], "no reference is of class 2"),
    ("roc_auc", [[0.2, 0.5], [0.3, 0.6]], [[1, 1], [0, 1]], "every reference is of label 1"),
    ("average_precision", [[0.2, 0.5], [0.3, 0.6]], [[1, 0], [0, 0]], "no reference is of label 1"),
    ("average_precision", [[0.2, float("nan")], [0.3, 0.6]], [1, 0], "not finite"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "probabilities", "references", "reason"), UNDEFINED_PROBABILITIES)
def test_undefined_value_of_probabilities(name, probabilities, references, reason):
    (score,) = metrics.score([name], references, references, "dev", probabilities)
    assert score.value is None
    assert reason in score.reason


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "answers", "references", "value", "reason", "why"), UNDEFINED)
def test_undefined_value(name, answers, references, value, reason, why):
    (score,) = metrics.score([name], answers, references, "dev")
    assert score.value == value, why
    assert (score.reason is None) == (reason is None)
    assert reason is None or reason in score.reason


def test_random_answers_score_as_scikit_learn_and_scipy_say():
    from scipy.stats import pearsonr, spearmanr
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    generator = random.Random(0)
    classes = [[generator.randrange(2) for _ in range(277)] for _ in range(2)]
    numbers = [[round(generator.uniform(0, 5), 1) for _ in range(1500)] for _ in range(2)]
    expected = [f(classes[1], classes[0]) for f in (accuracy_score, f1_score, matthews_corrcoef)]
    assert [score.value for score in metrics.score(CLASSES, *classes, "dev")] == expected
    expected = [f(*numbers).statistic for f in (pearsonr, spearmanr)]
    assert [score.value for score in metrics.score(NUMBERS, *numbers, "dev")] == expected


def test_random_multi_label_answers_score_as_scikit_learn_says():
    from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

    generator = random.Random(1)
    truth = [[generator.randrange(2) for _ in range(4)] for _ in range(200)]
    shares = [[generator.random() for _ in range(4)] for _ in range(200)]
    answers = [[int(share > 0.5) for share in row] for row in shares]
    names = ("macro_f1", "micro_f1", "weighted_f1", "exact_match", "roc_auc", "average_precision")
    expected = [f1_score(truth, answers, average=average) for average in ("macro", "micro", "weighted")]
    expected += [accuracy_score(truth, answers), roc_auc_score(truth, shares), average_precision_score(truth, shares)]
    found = [score.value for score in metrics.score(names, answers, truth, "dev", shares)]
    assert found == pytest.approx(expected, abs=1e-12)


def test_lower_is_better_for_errors_alone():
    assert {name for name in metrics.available() if metrics.find(name).better == "lower"} == {
        *("mse", "mae", "perplexity", "word_perplexity"),
    }


REFUSED = [
    # metrics, answers, references, part of the message
    (["accuracy"], [0, 1], [0], "2 answers for 1 references of split 'dev'"),
    (["accuracy"], [], [], "split 'dev' has no answer to score"),
    (["accuracy"], [0.5, 1.0], [0, 1], "accuracy takes class indices"),
    (["macro_f1"], [[0, 0.5]], [[0, 1]], "macro_f1 takes class indices"),
    (["roc_auc"], [0, 1], [0, 1], "roc_auc takes probabilities, and the answers of split 'dev' have none"),
    (["acuracy"], [0], [0], "no metric 'acuracy'; did you mean 'accuracy'?"),
]


@pytest.mark.parametrize(("names", "answers", "references", "message"), REFUSED)
def test_what_cannot_be_scored(names, answers, references, message):
    with pytest.raises(ValueError) as error:
        metrics.score(names, answers, references, "dev")
    assert message in str(error.value)


CHECKED = [
    # metrics, kind, classes, part of the message; None: fine
    (["accuracy", "f1"], "classification", 2, None),
    (["matthews"], "classification", 3, None),
    (["f1"], "classification", 3, "metric 'f1' is defined for 2 classes, this task has 3"),
    (
        ["pearson"],
        "classification",
        2,
        "metric 'pearson' scores regression, this task is classification; take from acc",
    ),
    (
        ["accuracy"],
        "regression",
        None,
        "metric 'accuracy' scores classification, this task is regression",
    ),
    (["roc_auc", "macro_f1"], "classification", 3, None),
    (["macro_f1", "exact_match", "roc_auc"], "multi_label", 3, None),
    (["accuracy"], "multiple_choice", None, None),
    (["roc_auc"], "multiple_choice", None, "metric 'roc_auc' takes the probability of each class"),
    (["accuracy"], "multi_label", 3, "take from average_precision, exact_match, macro_f1"),
    (["precision"], "classification", 3, "metric 'precision' is defined for 2 classes"),
    (["spearmann"], "regression", None, "did you mean 'spearman'?"),
    ([], "regression", None, "metrics is empty"),
    (["pearson", "pearson"], "regression", None, "names one twice"),
]


@pytest.mark.parametrize(("names", "kind", "classes", "message"), CHECKED)
def test_check(names, kind, classes, message):
    if message is None:
        metrics.check(names, kind=kind, classes=classes)
        return
    with pytest.raises(ValueError) as error:
        metrics.check(names, kind=kind, classes=classes)
    assert message in str(error.value)


BY_KIND = {
    "language_modeling": {"perplexity", "word_perplexity"},
    "classification": {*ONE_OF_MANY, *PROBABILITIES},
    "multi_label": {*LABELS, *PROBABILITIES, "exact_match"},
    "regression": {*NUMBERS, "mse", "mae"},
}


@pytest.mark.parametrize("kind", BY_KIND)
def test_the_folder_holds_the_metrics_of_each_kind(kind):
    assert {name for name in metrics.available() if kind in metrics.find(name).kinds} == BY_KIND[kind]


@pytest.mark.parametrize("name", metrics.available())
def test_fields_and_signature(name):
    metric = metrics.find(name)
    assert {*metric.kinds} <= BY_KIND.keys()
    assert metric.better in ("higher", "lower")
    assert metric.signature().startswith(f"{name}|")
    assert metric.package in metric.signature()


def test_signature_names_the_release():
    import sklearn

    assert metrics.find("accuracy").signature() == f"accuracy|scikit-learn {sklearn.__version__}"
    assert metrics.find("f1").signature() == f"f1|of class 1|scikit-learn {sklearn.__version__}"


FILES = [path.relative_to(metrics.FOLDER) for path in metrics.FOLDER.rglob("*.py") if "\n@metric(" in path.read_text()]
PREDICTIONS = {
    "classification": ([0, 1, 1, 0], [0, 1, 0, 0]),
    "multi_label": ([[0, 1], [1, 1], [1, 0]], [[0, 1], [1, 0], [1, 0]]),
    "regression": ([0.5, 1.0, 3.0], [0.0, 1.5, 2.0]),
    "generation": (
        ["the mill is a cheap pub", "a pub by the river ."],
        [["the mill is a pub"], ["a pub by a river .", "a pub"]],
    ),
    "language_modeling": ([9.0, 3.5], [[4.0, 3.0], [2.0, 1.0]]),
}
SHARES = {
    "classification": [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]],
    "multi_label": [[0.1, 0.9], [0.7, 0.6], [0.8, 0.2]],
}
LOADED = [(file, kind) for file in FILES for kind in metrics.load(".".join(file.with_suffix("").parts)).kinds]


@pytest.mark.parametrize(("file", "kind"), LOADED, ids=str)
def test_evaluate_loads_the_file_without_network(file, kind, tmp_path, monkeypatch):
    """METEOR's program takes six seconds to start; what it says of published texts is test_meteor.py's."""
    import evaluate

    said = subprocess.CompletedProcess([], 0, "Final score:            0.25\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: said)
    monkeypatch.setattr("datasets.config.HF_MODULES_CACHE", str(tmp_path))
    metric = metrics.load(".".join(file.with_suffix("").parts))
    predictions, references = PREDICTIONS[kind]
    if metric.takes == "probabilities":
        predictions = SHARES[kind]
    loaded = evaluate.load(str(metrics.FOLDER / file), cache_dir=str(tmp_path))
    computed = loaded.compute(predictions=predictions, references=references)
    measured = metric(predictions, references)
    assert computed == {metric.name: measured.value} | ({"reason": measured.reason} if measured.reason else {})
    assert measured.value is not None or "java" in measured.reason or "WordNet" in measured.reason


def test_every_metric_is_a_file():
    texts = {f"nlg/{file}.py" for names in nlg.METRICS.values() for file in names.values()}
    assert {file.as_posix() for file in FILES} == {f"{name}.py" for name in metrics.available()} | texts


def test_checking_names_imports_nothing_heavy():
    code = (
        "import sys; from dsee_bench import metrics; metrics.check(['f1'], kind='classification', classes=2);"
        "print([m for m in ('numpy', 'torch', 'evaluate', 'datasets', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
