"""A run that starts from another run's update: the same values, a new head, and every mismatch named."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from dsee_bench import config, plan
from dsee_bench.cli.bench import run
from dsee_bench.config import ConfigError
from dsee_bench.runs import pipeline, sweep

QUICK = [
    "backbone=tiny-bert",
    "train.max_rows=32",
    "train.batch_size=4",
    "train.epochs=1",
    "train.lr_adapter=1e-2",
]


def resolved(*overrides):
    return sweep.resolved([*QUICK, *overrides])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    content = resolved("method=dsee_update", f"results_dir={folder}")
    assert run(content) == 0
    return folder, config.run_id(content)


def test_the_update_is_that_of_the_other_run(source, monkeypatch):
    folder, run_id = source
    settings = plan.read(resolved("method=dsee_update", "task=toy_sentences", "seed=1", f"init_from={run_id}"))
    state, inputs = pipeline.prepare(settings, folder)
    head = state.model.classifier.weight.clone()
    seen = {}
    real = pipeline.run_stage

    def watch(settings, state, name, work):
        if name == "tune":
            seen.update({key: value.clone() for key, value in state.model.state_dict().items()})
        return real(settings, state, name, work)

    monkeypatch.setattr(pipeline, "run_stage", watch)
    pipeline.run_stages(settings, state, folder / "work" / "states", inputs)
    (kept,) = [
        path for path in (folder / "work" / "states").glob("*/model.safetensors") if _is_of(path, "toy_pairs", folder)
    ]
    there = load_file(kept)
    update = [name for name in there if "dsee_" in name]
    assert len(update) == 16  # U, V, values, positions of 4 weights
    for name in update:
        assert torch.equal(seen[name], there[name]), name
    assert any(there[name].abs().sum() > 0 for name in update if "dsee_u" in name)
    assert torch.equal(seen["classifier.weight"], head)


def _is_of(path, task, folder):
    """The state with the same head as the recorded run's: the other task's state was made later."""
    states = sorted((folder / "work" / "states").glob("*/model.safetensors"), key=lambda found: found.stat().st_mtime)
    return path == states[0]


def test_it_is_part_of_the_identity(source):
    _, run_id = source
    assert config.run_id(resolved(f"init_from={run_id}")) != config.run_id(resolved())


REFUSED = [
    # overrides,                                                        the error says
    (["method=dsee_update", "init_from=mnli-s0"], "there is no record"),
    (
        ["method=dsee_update", "method.stages.sparse.num_entries=8", "init_from=RUN"],
        "use the same settings of the adapter",
    ),
    (["method=dsee_update", "backbone=tiny-roberta", "init_from=RUN"], "an adapter fits the weights it was made for"),
    (["method=dsee_update", "method.stages.low_rank.alpha=8", "init_from=RUN"], "alpha is 32 there and 8 here"),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED)
def test_what_does_not_fit_is_refused(overrides, message, source, capsys):
    folder, run_id = source
    content = resolved(*[item.replace("RUN", run_id) for item in overrides], f"results_dir={folder}")
    assert run(content) == 1
    assert message in capsys.readouterr().err


def test_an_earlier_tuning_does_not_stand_in_for_the_last(tmp_path, capsys):
    """What `cache prune` may leave of a pruned run: the tuning before the pruning."""
    content = resolved("method=dsee", "train.retune_epochs=1", f"results_dir={tmp_path}")
    assert run(content) == 0
    states = sorted((tmp_path / "work" / "states").glob("*/stages.json"), key=lambda found: len(found.read_text()))
    shutil.rmtree(states[-1].parent)
    asked = resolved("method=dsee_update", f"init_from={config.run_id(content)}", f"results_dir={tmp_path}")
    assert run(asked) == 1
    assert "state is gone" in capsys.readouterr().err


def test_a_method_without_an_update_has_nothing_to_start():
    with pytest.raises(ConfigError, match="method full has none"):
        plan.plan(plan.read(resolved("method=full", "init_from=some-run")))
