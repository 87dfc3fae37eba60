"""The cells of a sweep are the runs that Hydra would make, and those that are done cost nothing."""

import contextlib
import itertools
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool

import pytest
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from dsee_bench import config, plan, record
from dsee_bench.config import ConfigError
from dsee_bench.record import Record
from dsee_bench.runs import data_check, sweep
from hydra_plugins.dsee_bench_sweeper import UnfinishedSweeper

SWEEPS = [
    # words,                                                        cells, why
    (["seed=0,1", "method=lora,dsee"], 4, "options and a setting"),
    (["experiment=glue_small", "seed=range(2)", "task=rte,sst2"], 48, "an experiment's own sweep, one key of it set"),
    (["experiment=rte_dsee", "method.stages.prune.sparsity=0.2,0.5"], 2, "an experiment without a sweep"),
    (
        [
            "method=lora",
            "~method.stages.lora.settings.lora_alpha",
            "+method.stages.lora.settings.use_rslora=true,false",
        ],
        2,
        "keys come and go",
    ),
    (["backbone=tiny-bert,tiny-gpt2", "train=glue_small", "train.betas=[0.9,0.98],[0.9,0.99]"], 4, "lists"),
]


@pytest.mark.parametrize(("words", "cells", "why"), SWEEPS)
def test_cells_have_the_ids_that_hydra_composes(words, cells, why):
    found = sweep.expand(words)
    assert len(found) == len({cell.run_id for cell in found}) == cells, why
    for cell in (found[0], found[-1]):
        alone = OmegaConf.to_container(config.compose(cell.overrides), resolve=True)
        assert cell.run_id == config.run_id(alone)


def test_an_option_says_nothing_outside_its_group():
    """What lets the options of a cell be composed one by one."""
    files = [path for group in config.GROUPS if group != "experiment" for path in (config.CONF / group).rglob("*.yaml")]
    assert len(files) > 50
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "@package" not in text, path
        assert "override /" not in text, path


@pytest.mark.slow
def test_an_option_is_composed_without_hydra_as_with_it():
    groups = [group for group in config.GROUPS if group != "experiment"]
    for names in itertools.zip_longest(*map(config.options, groups)):
        chosen = {group: name for group, name in zip(groups, names, strict=True) if name is not None}
        composed = config.compose([f"{group}={name}" for group, name in chosen.items()])
        for group, name in chosen.items():
            with_hydra, without = (
                OmegaConf.to_container(node, resolve=False)
                for node in (composed[group], config.as_composed(group, name))
            )
            assert without == with_hydra, f"{group}={name}"


def test_a_large_sweep_composes_each_option_once(monkeypatch):
    """A composition costs a tenth of a second: 360 of them would make a second start of this sweep slow."""
    compose, composed = config.compose, []
    monkeypatch.setattr(config, "compose", lambda words=(), **more: composed.append(words) or compose(words, **more))
    sweep._composed_once.cache_clear()
    assert len(sweep.expand(["task=rte,mrpc,cola,stsb", "method=full,lora,dsee", "seed=range(30)"])) == 360
    assert len(composed) <= 4 + 3 + 3  # the options; nothing chosen, the check of the words, the experiment's sweep


@pytest.mark.parametrize("more", [[], ["train.max_rows=${seed}"]], ids=["the seed alone", "what follows the seed"])
def test_cells_that_differ_in_the_seed_have_their_own_ids(more):
    cells = sweep.expand(["method=full,lora", "seed=3,7", *more])
    assert [cell.run_id for cell in cells] == [plan.read(sweep.resolved(cell.overrides)).run_id for cell in cells]
    assert len({cell.run_id for cell in cells}) == 4


def test_a_misspelt_sweep_says_what_there_is():
    with pytest.raises(config.ConfigError, match="did you mean 'lora'"):
        sweep.expand(["method=lroa,full"])


def test_what_is_done_is_not_launched(tmp_path):
    words = ["method=full,lora", "seed=0,1", "backbone=tiny-bert", f"results_dir={tmp_path}"]
    cells = sweep.expand(words)
    record.write(Record(cells[0].run_id, "finished", {}, {}), tmp_path)
    record.write(Record(cells[1].run_id, "failed", {}, {}), tmp_path)
    assert [cell.overrides[:2] for cell in sweep.unfinished(cells)] == [
        ("method=full", "seed=1"),
        ("method=lora", "seed=0"),
        ("method=lora", "seed=1"),
    ]
    for cell in cells:
        record.write(Record(cell.run_id, "finished", {}, {}), tmp_path)
    for cell in cells:
        data_check.note(tmp_path / "work" / cell.run_id, tmp_path / "a", {})
    there, elsewhere = (sweep.expand([*words, f"data_dir={tmp_path / name}"]) for name in ("a", "b"))
    assert sweep.unfinished(there) == []
    assert sweep.unfinished(elsewhere) == elsewhere, "they look whether the rows are the same"
    for cell in cells:
        data_check.note(tmp_path / "work" / cell.run_id, None, {})
    done = subprocess.run(
        [sys.executable, "-m", "dsee_bench.cli.bench", "--multirun", *words], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "4 of 4 runs are done already" in done.stderr
    assert done.stdout == "", "none was launched"


def test_a_mistake_of_one_cell_is_told_and_the_others_can_run():
    cells, mistakes = sweep.runnable(["backbone=tiny-bert", "seed=0,-1,${nope}", "train.betas=[0.9,0.99],[2,3]"], {})
    assert [cell.overrides for cell in cells] == [("backbone=tiny-bert", "seed=0", "train.betas=[0.9,0.99]")]
    assert len(mistakes) == 5
    assert "in the cell backbone=tiny-bert seed=0 train.betas=[2,3]: train.betas.0 must lie in" in str(mistakes[0])
    with pytest.raises(ConfigError, match="'sead' is no key"):  # of no cell: the words are wrong
        sweep.runnable(["backbone=tiny-bert", "seed=0,1", "sead=3"], {})


class StandInLauncher:
    """Finishes one run after the other, until a word of `fails` or `kills` is among the overrides."""

    def __init__(self, results_dir, fails=(), kills=()):
        self.results_dir, self.fails, self.kills = results_dir, fails, kills
        self.launched = []

    def launch(self, job_overrides, initial_job_idx):
        self.launched.append((initial_job_idx, [overrides[-1] for overrides in job_overrides]))
        jobs = []
        for overrides in job_overrides:
            if set(self.kills) & set(overrides):
                raise BrokenProcessPool
            job = JobReturn(status=JobStatus.COMPLETED)
            if set(self.fails) & set(overrides):
                job.status, job.return_value = JobStatus.FAILED, RuntimeError("failed")
            else:
                run_id = plan.read(sweep.resolved(overrides)).run_id
                record.write(Record(run_id, "finished", {}, {}), self.results_dir)
            jobs.append(job)
        return jobs


LAUNCHES = [
    # max_batch_size, what fails or kills, first number and seeds of each launch, how the sweep ends, why
    (None, {}, [(0, "01234")], None, "all at once"),
    (2, {}, [(0, "01"), (2, "23"), (4, "4")], None, "in batches, their numbers go on"),
    (2, {"fails": ["seed=0"]}, [(0, "01"), (2, "23"), (4, "4")], RuntimeError, "the others go on"),
    (None, {"kills": ["seed=1"]}, [(0, "01234"), (5, "12"), (7, "34"), (9, "1"), (10, "2")], SystemExit, "halves"),
    (None, {"kills": ["seed=4"]}, [(0, "01234"), (5, "4")], SystemExit, "the rest is one"),
]


@pytest.mark.parametrize(("size", "faults", "launches", "end", "why"), LAUNCHES)
def test_what_is_launched(size, faults, launches, end, why, tmp_path, monkeypatch):
    launcher = StandInLauncher(tmp_path, **faults)
    monkeypatch.setattr(Plugins, "instantiate_launcher", lambda *_, **__: launcher)
    sweeper = UnfinishedSweeper(max_batch_size=size)
    sweeper.setup(hydra_context=None, task_function=None, config=OmegaConf.create({"hydra": {"sweep": {"dir": "."}}}))
    with pytest.raises(end) if end else contextlib.nullcontext() as ended:
        sweeper.sweep(["backbone=tiny-bert", "method=full", f"results_dir={tmp_path}", "seed=range(5)"])
    assert launcher.launched == [(first, [f"seed={seed}" for seed in seeds]) for first, seeds in launches], why
    if "kills" in faults:
        assert "1 interrupted: toy_pairs-tiny-bert-full-s" in str(ended.value)
    assert OmegaConf.load(tmp_path / "work" / "multirun" / "multirun.yaml") == {"hydra": {"sweep": {"dir": "."}}}
