"""Classification and regression metrics: equal to their sources, undefined values None, impossible ones refused."""

import random
import subprocess
import sys

import pytest

from dsee_bench import metrics
from dsee_bench.metrics import nlg

CLASSES = ("accuracy", "f1", "matthews")
NUMBERS = ("pearson", "spearman")

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
]


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
]


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


def test_f1_of_several_labels_by_hand():
    """Labels a, b, c: a has 1 TP; b has 1 FP; c has 1 TP and 1 FN. So F1 is 1, 0 and 2/3."""
    answers, references = PREDICTIONS["multi_label"]
    micro, macro = metrics.score(["micro_f1", "macro_f1"], answers, references, "dev")
    assert micro.value == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert macro.value == pytest.approx((1 + 0 + 2 / 3) / 3)
    (undefined,) = metrics.score(["micro_f1"], [[0, 0]], [[0, 0]], "dev")
    assert undefined.value is None


REFUSED = [
    # metrics, answers, references, part of the message
    (["accuracy"], [0, 1], [0], "2 answers for 1 references of split 'dev'"),
    (["accuracy"], [], [], "split 'dev' has no answer to score"),
    (["accuracy"], [0.5, 1.0], [0, 1], "accuracy takes class indices"),
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
    (["accuracy"], "regression", None, "metric 'accuracy' scores classification, this task is regression"),
    (["spearmann"], "regression", None, "did you mean 'spearman'?"),
    ([], "regression", None, "metrics is empty"),
    (["pearson", "pearson"], "regression", None, "names one twice"),
    (["micro_f1", "macro_f1"], "multi_label", 3, None),
    (["accuracy"], "multi_label", 3, "metric 'accuracy' scores classification, this task is multi_label; take"),
    (["accuracy"], "multiple_choice", None, None),
]


@pytest.mark.parametrize(("names", "kind", "classes", "message"), CHECKED)
def test_check(names, kind, classes, message):
    if message is None:
        metrics.check(names, kind=kind, classes=classes)
        return
    with pytest.raises(ValueError) as error:
        metrics.check(names, kind=kind, classes=classes)
    assert message in str(error.value)


def test_the_folder_holds_the_metrics_of_each_kind():
    def of(kind):
        return {name for name in metrics.available() if kind in metrics.find(name).kinds}

    assert {*CLASSES} <= of("classification")
    assert {*NUMBERS} <= of("regression")
    assert {"macro_f1", "micro_f1"} <= of("multi_label")


@pytest.mark.parametrize("name", metrics.available())
def test_fields_and_signature(name):
    metric = metrics.find(name)
    assert {*metric.kinds} <= {"classification", "regression", "multi_label"}
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
    "regression": ([0.5, 1.0, 3.0], [0.0, 1.5, 2.0]),
    "multi_label": ([[1, 0, 0], [0, 1, 1]], [[1, 0, 1], [0, 0, 1]]),
    "generation": (
        ["the mill is a cheap pub", "a pub by the river ."],
        [["the mill is a pub"], ["a pub by a river .", "a pub"]],
    ),
}


@pytest.mark.parametrize("file", FILES, ids=str)
def test_evaluate_loads_the_file_without_network(file, tmp_path, monkeypatch):
    """METEOR's program takes six seconds to start; what it says of published texts is test_meteor.py's."""
    import evaluate

    said = subprocess.CompletedProcess([], 0, "Final score:            0.25\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: said)
    monkeypatch.setattr("datasets.config.HF_MODULES_CACHE", str(tmp_path))
    metric = metrics.load(".".join(file.with_suffix("").parts))
    predictions, references = PREDICTIONS[metric.kinds[0]]
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
