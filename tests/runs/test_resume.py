"""A tuning that is stopped anywhere goes on to the weights and scores of one that never was."""

import json
import logging
import re

import pytest
import torch
from safetensors.torch import save_file

from dsee_bench import plan
from dsee_bench.runs import pipeline, scoring, sweep
from dsee_bench.system import signals
from dsee_bench.system.folders import SEAL, is_whole, seal
from dsee_bench.training import checkpoint

QUICK = (
    "backbone=tiny-bert",
    "task.rows.dev=16",
    "train.max_rows=32",
    "train.batch_size=8",
    "train.epochs=2",
    "train.retune_epochs=2",
    "train.lr_adapter=1e-2",
    "train.lr_full=1e-3",
    "save_every=0",
)


def finish(folder, *overrides):
    """The scores, and every tensor of the final model."""
    settings = plan.read(sweep.resolved([*QUICK, *overrides]))
    state, inputs = pipeline.prepare(settings, folder / "work")
    pipeline.run_stages(settings, state, folder / "states", inputs)
    scores = scoring.score(state, folder / "work")
    return [(score.name, score.value) for score in scores], state.model.state_dict()


@pytest.fixture
def stop_at(monkeypatch):
    """Makes the run stop before its n-th step from then on, counted over all of its tunings."""

    def ask(step):
        left = [step]

        def check():
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

        monkeypatch.setattr(signals, "raise_if_stopped", check)

    return ask


# Steps: 4 an epoch, 8 a tuning. 3: before anything was evaluated. 4: in the second epoch. 7: in the second tuning.
# Every method is stopped in benchmarks/faults.py; here stands one for each kind of state that must survive.
@pytest.mark.parametrize(
    ("method", "more"),
    [
        pytest.param("full", (), marks=pytest.mark.slow),
        pytest.param("lora", ("train.select_on=last",), marks=pytest.mark.slow),
        ("dsee", ("train.precision=bf16",)),
        pytest.param(
            "dsee_masked",
            (
                "train.eval_strategy=steps",
                "train.eval_steps=3",
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param("dsee_structured", ("train.gradient_accumulation_steps=2",), marks=pytest.mark.slow),
        ("dsee_gradual", ("method.stages.gradual.every=2", "method.stages.gradual.prune.mask_adapter=true")),
        pytest.param("earlybert", (), marks=pytest.mark.slow),
        ("peft/adalora", ()),
    ],
)
def test_a_stopped_run_ends_as_one_never_stopped(method, more, tmp_path, stop_at):
    straight = finish(tmp_path / "straight", f"method={method}", *more)
    for step in (3, 4, 7):
        stop_at(step)
        try:
            finish(tmp_path / "interrupted", f"method={method}", *more)
        except KeyboardInterrupt:
            continue
    stop_at(0)
    resumed = finish(tmp_path / "interrupted", f"method={method}", *more)
    assert resumed[0] == straight[0]
    assert resumed[1].keys() == straight[1].keys()
    assert [name for name, value in straight[1].items() if not torch.equal(value, resumed[1][name])] == []
    assert not list((tmp_path / "interrupted" / "states").glob("*.tuning")), "nothing is left of a tuning that is done"


def test_it_goes_on_from_the_last_point_and_says_so(tmp_path, stop_at, caplog):
    stop_at(7)
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path, "method=lora")
    stop_at(0)
    caplog.set_level(logging.INFO)
    finish(tmp_path, "method=lora")
    assert re.search(r"tune: goes on from step \d+", caplog.text)


def whole(folder, step, best=None):
    made = checkpoint.folder_of(folder, step)
    made.mkdir()
    for name in ("model.safetensors", checkpoint.HOOKS):
        save_file({"weight": torch.zeros(9)}, made / name)
    (made / checkpoint.STATE).write_text(json.dumps({"best_model_checkpoint": best and str(best)}))
    seal(made)
    return made


def test_the_newest_whole_checkpoint_counts_and_broken_ones_go(tmp_path):
    first = whole(tmp_path, 9)
    for step, harm in ((10, "model.safetensors"), (11, SEAL), (12, None)):
        broken = whole(tmp_path, step)
        if harm is None:
            (broken / "model.safetensors").write_bytes(b"x" * 99)
        else:
            (broken / harm).unlink()
    assert checkpoint.newest(tmp_path) == first
    assert list(tmp_path.iterdir()) == [first]


def test_a_checkpoint_whose_best_is_gone_does_not_count(tmp_path):
    """transformers would go on, and hand on the last weights for the best."""
    first = whole(tmp_path, 8)
    whole(tmp_path, 12, best=tmp_path / "checkpoint-10")
    assert checkpoint.newest(tmp_path) == first


def test_a_moved_folder_still_finds_its_best(tmp_path):
    whole(tmp_path, 8)
    last = whole(tmp_path, 12, best="/elsewhere/checkpoint-8")
    assert checkpoint.newest(tmp_path) == last
    assert json.loads((last / checkpoint.STATE).read_text())["best_model_checkpoint"] == str(tmp_path / "checkpoint-8")
    assert is_whole(last)


def test_all_but_the_best_and_the_last_are_deleted(tmp_path):
    for step in (4, 8, 12):
        whole(tmp_path, step)
    checkpoint.keep_only(tmp_path, (4, 12, None))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-12", "checkpoint-4"]
