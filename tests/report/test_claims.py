"""Claims: what confirms and refutes them, what leaves them undecided, and what is missing."""

import functools
import json
import re
from dataclasses import replace

import pytest
from made_up import synthetic
from scipy.stats import ttest_1samp

from dsee_bench import record
from dsee_bench.cli.report import main
from dsee_bench.config import CONF, ConfigError
from dsee_bench.config.validate import typed
from dsee_bench.record import Cost
from dsee_bench.report.claims import Claim, judge, read_claim
from dsee_bench.report.claims_text import as_json, fill_in, html, markdown, summary
from dsee_bench.runs import sweep

WORDS = ("task=rte,mrpc", "method=lora,full", "seed=0,1,2", "backbone=tiny-bert")
SAID = {
    "sentence": "LoRA scores as full fine-tuning does.",
    "source": "somebody",
    "measure": "score",
    "a": {"method": "lora"},
    "b": {"method": "full"},
    "holds": "equal",
    "margin": 1,
    "runs": [list(WORDS)],
}


def claim(**changed):
    return typed(Claim, {key: value for key, value in (SAID | changed).items() if value is not None}, "claim")


@functools.cache
def cells(*words):
    return sweep.expand(list(words))


def leave(folder, values, words=WORDS, costs=(), **changed):
    """Made-up records of the runs; `values` has the accuracies of each method on each task by seed."""
    for cell in cells(*words):
        said = dict(word.split("=", 1) for word in cell.overrides)
        of_task = values.get(said["method"], {}).get(said["task"], ())
        if int(said["seed"]) < len(of_task):
            value = of_task[int(said["seed"])]
            made = synthetic(said["task"], said["method"], int(said["seed"]), value, **changed)
            made = replace(made, run_id=cell.run_id, costs=(*made.costs, *costs))
            record.write(made, folder)


FULL = {"rte": (0.60, 0.60, 0.60), "mrpc": (0.80, 0.80, 0.80)}


def plus(*gains):
    """LoRA's accuracies: full's and these points, the same on both tasks."""
    return {task: tuple(value + gain / 100 for value, gain in zip(of, gains, strict=True)) for task, of in FULL.items()}


VERDICTS = [
    # how A - B must be, margin, its three values,  verdict
    ("equal", 1, (0.1, -0.1, 0.2), "confirmed"),
    ("equal", 1, (2.9, 3.0, 3.2), "refuted"),
    ("equal", 1, (-2.9, -3.0, -3.2), "refuted"),
    ("equal", 1, (0.5, 2.0, -1.5), "undecided"),
    ("higher", 0, (0.9, 1.0, 1.2), "confirmed"),
    ("higher", 0, (-0.9, -1.0, -1.2), "refuted"),
    ("higher", 0, (-0.9, 1.0, 0.2), "undecided"),
    ("higher", 2, (0.9, 1.0, 1.2), "refuted"),
    ("not_lower", 1, (0.5, 3.0, 0.1), "confirmed"),
    ("not_lower", 1, (-0.9, -1.1, -1.0), "undecided"),
    ("not_lower", 1, (-3.0, -3.2, -2.9), "refuted"),
]


@pytest.mark.parametrize(("holds", "margin", "gains", "verdict"), VERDICTS)
def test_a_verdict_needs_interval_and_test(holds, margin, gains, verdict, tmp_path):
    leave(tmp_path, {"full": FULL, "lora": plus(*gains)})
    judged = judge("made_up", claim(holds=holds, margin=margin), tmp_path)
    assert judged.verdict == verdict
    assert judged.difference.mean == pytest.approx(sum(gains) / 3)
    assert len(judged.run_ids) == 12
    assert judged.missing == ()


def test_the_p_value_of_one_task_is_scipys(tmp_path):
    gains = (0.9, 1.0, 1.2)
    words = ("task=rte", *WORDS[1:])
    leave(tmp_path, {"full": FULL, "lora": plus(*gains)}, words)
    judged = judge("made_up", claim(holds="higher", margin=0.5, runs=[list(words)]), tmp_path)
    assert judged.p_value == pytest.approx(ttest_1samp(gains, 0.5, alternative="greater").pvalue)
    assert judged.verdict == "confirmed"


def test_one_seed_decides_nothing(tmp_path):
    words = ("task=rte,mrpc", "method=lora,full", "seed=0", "backbone=tiny-bert")
    leave(tmp_path, {"full": FULL, "lora": plus(5, 5, 5)}, words)
    judged = judge("made_up", claim(holds="higher", margin=0, runs=[list(words)]), tmp_path)
    assert (judged.verdict, judged.interval) == ("undecided", None)


def test_missing_runs_are_named_with_their_commands(tmp_path):
    leave(tmp_path, {"full": FULL, "lora": {"rte": (0.6, 0.6, 0.6), "mrpc": (0.8, 0.8)}})
    judged = judge("made_up", claim(), tmp_path)
    assert judged.verdict == "undecided"
    (missing,) = judged.missing
    assert missing.run_id.startswith("mrpc-tiny-bert-lora-s2-")
    assert sweep.expand(missing.command.split()[1:])[0].run_id == missing.run_id
    assert f"- {missing.run_id}: missing; `{missing.command}`" in markdown([judged])
    assert as_json([judged])[0]["missing"] == [vars(missing)]


COUNTS = [
    # costs saved of the two tasks,    number, verdict
    ((0.25, 0.25), 25, "confirmed"),
    ((0.25, 0.255), 25, "confirmed"),
    ((0.25, 0.30), 25, "undecided"),  # the runs do not agree
    ((0.20, 0.22), 25, "refuted"),
]


@pytest.mark.parametrize(("saved", "number", "verdict"), COUNTS)
def test_a_count_is_exact(saved, number, verdict, tmp_path):
    words = ("task=rte,mrpc", "method=lora", "seed=0", "backbone=tiny-bert")
    for task, share in zip(("rte", "mrpc"), saved, strict=True):
        leave(tmp_path, {"lora": {task: (0.6,)}}, words, saved=share)
    said = claim(measure="flops_saved", b=None, number=number, runs=[list(words)])
    judged = judge("made_up", said, tmp_path)
    assert judged.verdict == verdict
    assert judged.interval == pytest.approx((100 * min(saved) - number, 100 * max(saved) - number))


def test_a_ratio_of_two_costs(tmp_path):
    words = ("task=rte", "method=lora", "seed=0", "backbone=tiny-bert")
    leave(tmp_path, {"lora": FULL}, words, costs=[Cost("total_parameters", 200_000, "parameters", "all")])
    said = claim(measure="trainable_parameters / total_parameters", b=None, number=0.5, margin=0.1, runs=[list(words)])
    judged = judge("made_up", said, tmp_path)
    assert (judged.verdict, judged.difference.mean) == ("confirmed", pytest.approx(0))  # 1,000 of 200,000


def test_time_against_flops_of_the_same_runs(tmp_path):
    """Four runs of one shape are one task's; the second claim's time was never measured."""
    words = ("task=rte,mrpc", "method=lora", "seed=0,1", "backbone=tiny-bert")
    for task, dense in (("rte", 100.0), ("mrpc", 101.0)):
        times = [Cost("latency_ms", 75.0, "ms", "one pass"), Cost("latency_dense_ms", dense, "ms", "one pass")]
        leave(tmp_path, {"lora": {task: (0.6, 0.6)}}, words, costs=times)
    said = {"measure": "latency_saved", "b": {"method": "lora", "measure": "flops_saved"}, "runs": [list(words)]}
    judged = judge("made_up", claim(**said, margin=5), tmp_path)
    assert judged.verdict == "confirmed"
    (values,) = judged.difference.by_task.values()
    assert sorted(values) == pytest.approx([0, 0, 100 - 7500 / 101 - 25, 100 - 7500 / 101 - 25])
    leave(tmp_path, {"lora": {"rte": (0.6, 0.6), "mrpc": (0.6, 0.6)}}, words)
    judged = judge("made_up", claim(**said, margin=5), tmp_path)
    assert [run.why for run in judged.missing] == ["no latency_saved was recorded"] * 4
    assert all(run.command.endswith("measure=true") for run in judged.missing)


def test_runs_that_cannot_be_compared_are_refused(tmp_path):
    leave(tmp_path, {"full": FULL})
    leave(tmp_path, {"lora": plus(1, 1, 1)}, checkpoint="best validation")
    with pytest.raises(ValueError, match=r"claim made_up mixes .*: checkpoint is best .* in .*, best .* in "):
        judge("made_up", claim(), tmp_path)
    leave(tmp_path, {"lora": plus(1, 1, 1)}, sha256="others")
    with pytest.raises(ValueError, match="checksum of the dev rows of rte is"):
        judge("made_up", claim(), tmp_path)


WRONG = [
    ({"b": None}, "give one of the two"),
    ({"number": 3}, "give one of the two"),
    ({"margin": 0}, "above it for holds=equal"),
    ({"runs": []}, "names the runs that decide it"),
    ({"holds": "alike"}, "holds"),
    ({"metric": "score"}, "metric"),
]


@pytest.mark.parametrize(("changed", "message"), WRONG)
def test_claims_that_say_nothing_are_refused(changed, message):
    with pytest.raises(ConfigError, match=message):
        claim(**changed)


def test_the_committed_claims_are_whole_and_their_runs_there():
    paths = sorted((CONF / "claim").glob("*.yaml"))
    assert len(paths) >= 10
    for path in paths:
        found = read_claim(path)
        methods = {word.method for word in (found.a, found.b) if word is not None}
        ids = [cell.run_id for words in found.runs for cell in cells(*words)]
        assert all(any(f"-{method}-s" in run_id for run_id in ids) for method in methods), path


def test_the_command(tmp_path, capsys):
    name = "sparse_entries_help"
    assert main(["claims", name, "--results", str(tmp_path), "--json"]) == 1
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["name"], told["verdict"], len(told["missing"])) == (name, "undecided", 6)
    words = read_claim(CONF / "claim" / f"{name}.yaml").runs[0]
    for cell in cells(*words):
        said = dict(word.split("=", 1) for word in cell.overrides)
        value = (0.9 if said["method.stages.sparse.placement"] == "none" else 0.5) + 0.01 * int(said["seed"]) ** 2
        made = synthetic("cola", "dsee_update", int(said["seed"]), value)
        settings = {"stages": {"sparse": {"placement": said["method.stages.sparse.placement"]}}, "name": "dsee_update"}
        made = replace(made, run_id=cell.run_id, config=made.config | {"method": settings})
        record.write(made, tmp_path)
    assert main(["claims", name, "--results", str(tmp_path)]) == 0  # refuted or not
    assert re.search(r"A - B = -40\.00, 95% interval -40\.00 to -40\.00, n = 3", capsys.readouterr().out)
    assert main(["claims", "sparse_entries_hlp", "--results", str(tmp_path)]) == 1
    assert "did you mean 'sparse_entries_help'" in capsys.readouterr().err


def test_the_table_for_a_page(tmp_path):
    assert html([judge("made_up", claim(), tmp_path)]) == ""  # without a record
    leave(tmp_path, {"full": FULL, "lora": plus(0.1, -0.1, 0.2)})
    text = html([judge("made_up", claim(sentence="A < B"), tmp_path)])
    assert "<td>confirmed</td><td>A &lt; B</td>" in text
    assert "12 (best dev)" in text


def test_a_table_of_claims_goes_between_the_marks_of_a_file(tmp_path):
    leave(tmp_path, {"full": FULL, "lora": plus(0.1, 0.2, 0.0)})
    judged = [judge("equal", claim(), tmp_path)]
    page = tmp_path / "page.md"
    page.write_text("# Ours\n\n<!-- claims -->\nold\n<!-- end of claims -->\n\nThe end.\n")
    fill_in(page, judged)
    text = page.read_text()
    assert text.startswith("# Ours\n\n<!-- claims -->\n\n| Verdict | Claim |")
    assert text.endswith("<!-- end of claims -->\n\nThe end.\n")
    assert "| confirmed | LoRA scores as full fine-tuning does. | somebody | +0.10, 95% interval" in text
    assert "old" not in text
    assert summary(judged) in text
    fill_in(page, judged)
    assert page.read_text() == text, "a second time changes nothing"


def test_in_latex_the_marks_are_comments(tmp_path):
    leave(tmp_path, {"full": FULL, "lora": plus(0.1, 0.2, 0.0)})
    page = tmp_path / "page.tex"
    page.write_text("% <!-- claims -->\n% <!-- end of claims -->\nThe end.\n")
    fill_in(page, [judge("equal", claim(source="50 % of us & them"), tmp_path)])
    first, *lines, last, end = page.read_text().splitlines()
    assert (first, last, end) == ("% <!-- claims -->", "% <!-- end of claims -->", "The end.")
    assert r"50 \% of us \& them" in "\n".join(lines)
    assert sum(line.endswith(r"\\") for line in lines) == 1
    fill_in(page, [])
    assert page.read_text().endswith("% <!-- end of claims -->\nThe end.\n")


@pytest.mark.parametrize(
    "text", ["none", "<!-- claims -->", "<!-- end of claims --> <!-- claims -->", "<!-- claims -->" * 2]
)
def test_a_file_without_a_place_for_claims_is_refused(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=r"page\.md has no place for the claims"):
        fill_in(page, [])
    assert page.read_text() == text
