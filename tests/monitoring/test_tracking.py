"""Tracking in wandb: one tracked run a run, nothing of it that could fail the run, no key anywhere."""

import json
import sys
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import pytest

from dsee_bench import config, record
from dsee_bench.cli.bench import run
from dsee_bench.config import ConfigError
from dsee_bench.config.launch import Tracking
from dsee_bench.monitoring import console
from dsee_bench.monitoring.curve import Point
from dsee_bench.monitoring.tracking import Tracker
from dsee_bench.runs import sweep

SECRET = "0123456789abcdef0123456789abcdef01234567"  # as long as a key
QUICK = ["backbone=tiny-bert", "train.max_rows=64", "train.epochs=1", "train.retune_epochs=1"]
QUICK += ["train.batch_size=16", "task.rows.dev=32"]


def run_tracked(folder, *overrides):
    words = [*QUICK, *overrides]
    content = sweep.resolved(
        [*words, *([] if any("tracking.mode" in word for word in words) else ["tracking.mode=online"])]
    )
    content["results_dir"] = str(folder)
    return run(content, words), config.run_id(content)


class Fake:
    """Stands in for the module wandb: keeps what it is told, and raises `error` where it is asked to."""

    __spec__ = ModuleSpec("wandb", None)  # accelerate looks for it where it is imported first

    def __init__(self, raises="", error=None, step=0):
        self.raises, self.error, self.step = raises, error, step
        self.begun, self.rows, self.ended = [], [], []
        self.summary = {}

    def _at(self, place):
        if place == self.raises:
            raise self.error

    def Settings(self, **settings):
        return settings

    def setup(self, settings):
        self._at("setup")

    def login(self, prompt):
        self._at("login")
        return self.raises != "no key"

    def init(self, **settings):
        self._at("init")
        self.begun.append(settings)
        return SimpleNamespace(
            log=self.log, finish=self.finish, summary=self.summary, step=self.step, url="https://tracked.example/x"
        )

    def log(self, values, step):
        self._at("log")
        self.rows.append({**values, "step": step})

    def finish(self, exit_code):
        self._at("finish")
        self.ended.append(exit_code)


@pytest.fixture
def fake(monkeypatch):
    def install(**settings):
        made = Fake(**settings)
        monkeypatch.setitem(sys.modules, "wandb", made)
        monkeypatch.setenv("WANDB_API_KEY", SECRET)
        monkeypatch.setenv("WANDB_CACHE_DIR", "unused")
        return made

    return install


def test_the_curve_the_scores_and_the_settings_are_tracked(fake, tmp_path):
    wandb = fake()
    code, run_id = run_tracked(tmp_path, "method=dsee", "tracking.entity=us")
    found = record.read(record.path_of(run_id, tmp_path))
    assert code == 0
    (begun,) = wandb.begun
    assert {key: begun[key] for key in ("id", "name", "project", "entity", "group", "resume", "reinit", "mode")} == {
        "id": run_id,
        "name": run_id,
        "project": "dsee-bench",
        "entity": "us",
        "group": None,
        "resume": "allow",
        "reinit": "create_new",
        "mode": "online",
    }
    assert begun["config"] == found.config
    steps = {log.name: log.facts["steps"] for log in found.stages if "steps" in log.facts}
    assert steps == {"tune": 4, "retune": 4}
    losses = [(row["stage"], row["step"]) for row in wandb.rows if "loss" in row]
    assert losses == [*(("tune", step) for step in range(1, 5)), *(("retune", step) for step in range(5, 9))]
    dev = [(row["stage"], row["step"], row["dev/accuracy"]) for row in wandb.rows if "dev/accuracy" in row]
    facts = {log.name: log.facts for log in found.stages}
    assert dev == [(name, at, facts[name]["dev"][0]["accuracy"]) for name, at in (("tune", 4), ("retune", 8))]
    assert wandb.summary["dev/accuracy"] == found.score("accuracy")
    assert wandb.summary["cost/trainable_parameters"] == found.cost("trainable_parameters")
    assert wandb.ended == [0]


GROUPS = [
    # words,                                             group, why
    (["experiment=rte_dsee"], "rte_dsee", "the experiment's name"),
    (["experiment=rte_dsee", "tracking.group=mine"], "mine", "a given group comes first"),
    ([], None, "no group"),
]


@pytest.mark.parametrize(("words", "group", "why"), GROUPS)
def test_runs_are_grouped_by_their_experiment(words, group, why, fake, tmp_path):
    wandb = fake()
    given = [*words, "backbone=tiny-bert", "task=toy_pairs", "method=full", "train=demo", "train.epochs=1"]
    run_tracked(tmp_path, *given)
    assert [begun["group"] for begun in wandb.begun] == [group], why


def test_the_runs_of_one_process_stay_apart_and_a_repeat_begins_anew(fake, tmp_path):
    wandb = fake()
    ids = [run_tracked(tmp_path, "method=full", f"seed={seed}")[1] for seed in (0, 1)]
    run_tracked(tmp_path, "method=full", "seed=1", "force=true")
    assert [begun["id"] for begun in wandb.begun] == [*ids, ids[1]]
    assert len(set(ids)) == 2
    assert [begun["resume"] for begun in wandb.begun] == ["allow", "allow", None]


FAILURES = [
    # where,    what is raised,                                    what is told
    ("setup", ConnectionError("no route"), "ConnectionError: no route"),
    ("login", ValueError(f"a bad key: {SECRET}"), "ValueError: a bad key: ***"),
    ("no key", None, "RuntimeError: no key; call `wandb login`, or set WANDB_API_KEY"),
    ("init", TimeoutError("30 s\nand a long story"), "TimeoutError: 30 s"),
    ("log", OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
    ("finish", SystemExit(3), "SystemExit: 3"),
]


@pytest.mark.parametrize(("where", "error", "told"), FAILURES)
def test_a_failure_of_tracking_is_one_line_and_the_run_goes_on(where, error, told, fake, tmp_path, capsys):
    fake(raises=where, error=error)
    code, run_id = run_tracked(tmp_path, "method=full")
    assert code == 0
    assert record.read(record.path_of(run_id, tmp_path)).status == "finished"
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert warned == [f"warning: tracking ends here, the run goes on: {told}"]


def test_wandb_need_not_be_installed(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setenv("WANDB_CACHE_DIR", "unused")
    assert run_tracked(tmp_path, "method=full")[0] == 0
    assert "tracking ends here, the run goes on: ModuleNotFoundError" in capsys.readouterr().err


def test_a_failed_run_is_tracked_as_failed(fake, tmp_path):
    wandb = fake()
    code, _ = run_tracked(tmp_path, "task=rte", f"data_dir={tmp_path}/nothing")
    assert (code, wandb.ended, wandb.summary["status"]) == (1, [1], "failed")


def points(*steps):
    return [Point("tune", step, 0.0, loss=1.0 / step) for step in steps]


LOST = [
    # wandb's next step, in the file,     trained again,   sent,              why
    (
        0,
        [1, 2, 3, 4],
        [3, 4, 5],
        [1, 2, 3, 4, 5],
        "nothing had arrived; offline, where each start has a file of its own",
    ),
    (3, [1, 2, 3, 4], [3, 4, 5], [3, 4, 5], "two had; two were lost, and are trained again from the checkpoint on"),
    (5, [1, 2, 3, 4], [3, 4, 5], [5], "all had: nothing is sent twice"),
    (3, [1, 2], [3], [3], "nothing was lost"),
    (0, [], [1, 2], [1, 2], "a first start"),
]


@pytest.mark.parametrize(("following", "file", "again", "sent", "why"), LOST)
def test_what_a_killed_process_did_not_deliver_is_sent_again(following, file, again, sent, why, fake, tmp_path):
    wandb = fake(step=following)
    tracker = Tracker(Tracking("online", "p", None, None), "a-run", tmp_path)
    tracker.start({}, None, anew=False)
    tracker.place({"tune": 0}, [*points(*file), Point("of another plan", 1, 0.0, loss=1.0)])
    for point in points(*again):
        tracker.add(point)
    assert [row["step"] for row in wandb.rows] == sent, why


def test_a_dev_score_that_the_kill_cut_off_joins_its_step(fake, tmp_path):
    wandb = fake()
    tracker = Tracker(Tracking("online", "p", None, None), "a-run", tmp_path)
    tracker.start({}, None, anew=False)
    tracker.place({"tune": 0}, points(1, 2))
    tracker.add(points(2)[0])
    tracker.add(Point("tune", 2, 0.0, metric="accuracy", dev=0.5))
    assert [(row["step"], sorted(row)) for row in wandb.rows] == [
        (1, ["loss", "stage", "step"]),
        (2, ["loss", "stage", "step"]),
        (2, ["dev/accuracy", "stage", "step"]),
    ]


def test_a_stopped_run_is_tracked_as_one_whole_curve(fake, tmp_path, monkeypatch):
    """Killed in its second stage, after an evaluation, by what no handler sees; then started again, as offline."""
    words = ["method=dsee", "save_every=0", "train.eval_strategy=steps", "train.eval_steps=2"]
    straight = fake()
    assert run_tracked(tmp_path / "straight", *words)[0] == 0
    cut = fake()
    killed = [0]

    def add(self, point, plain=Tracker.add):
        plain(self, point)
        killed[0] += 1
        if killed[0] == 6:
            raise SystemExit  # nothing is finished or recorded

    monkeypatch.setattr(Tracker, "add", add)
    with pytest.raises(SystemExit):
        run_tracked(tmp_path / "cut", *words)
    assert 0 < len(cut.rows) < len(straight.rows)
    resumed = fake()
    assert run_tracked(tmp_path / "cut", *words)[0] == 0
    shown = [[(row["step"], sorted(row), row["stage"]) for row in each.rows] for each in (straight, resumed)]
    assert shown[0] == shown[1]


def test_ctrl_c_ends_the_waiting_for_wandb(fake, tmp_path, capsys):
    fake(raises="finish", error=KeyboardInterrupt())
    assert run_tracked(tmp_path, "method=full")[0] == 0
    assert "`wandb sync` sends" in capsys.readouterr().err


def test_where_runs_are_tracked_is_no_part_of_what_they_are():
    plain = sweep.resolved(QUICK)
    tracked = sweep.resolved([*QUICK, "tracking.mode=online"])
    assert config.run_id(plain) == config.run_id(tracked)
    assert "tracking" not in config.identity(plain)
    assert plain["tracking"]["mode"] == "disabled"


def test_a_mode_that_is_none_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"tracking\.mode=on.*'disabled', 'offline' or 'online'"):
        run_tracked(tmp_path, "tracking.mode=on")


def written_under(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def real(monkeypatch, tmp_path):
    """The real wandb, with a home folder of its own."""
    import wandb

    for name in ("HOME", "NETRC", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("WANDB_CACHE_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    wandb.teardown()
    yield wandb
    wandb.teardown()


@pytest.mark.slow
def test_offline_with_the_real_wandb(real, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    ids = []
    for seed in (0, 1):
        words = ["method=full", f"seed={seed}", "tracking.mode=offline", "tracking.group=a-group"]
        code, run_id = run_tracked(tmp_path / "results", *words)
        assert code == 0
        ids.append(run_id)
    assert real.run is None
    real.teardown()  # flushes
    for run_id, other in (ids, reversed(ids)):
        (tracked,) = (tmp_path / "results" / "work" / run_id / "wandb").glob("offline-run-*")
        content = (tracked / f"run-{run_id}.wandb").read_bytes()
        for part in (run_id, "a-group", "dev/accuracy", "learning_rate", "cost/trainable_parameters"):
            assert part.encode() in content, part
        assert other.encode() not in content, "the runs of one process stay apart"
    assert [path.name for path in tmp_path.iterdir()] == ["results"], "nothing beside the results, no home folder"
    files = written_under(tmp_path)
    assert len(files) > 10
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    made_by = record.read(record.path_of(ids[0], tmp_path / "results")).made_by
    assert "WANDB" not in json.dumps(made_by), "the environment is not recorded"


def test_online_without_a_key_asks_nobody(real, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked a person"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    with console.logging_to(tmp_path / "log.txt", "a-run", "dsee-bench", quiet=False):
        tracker = Tracker(Tracking("online", "p", None, None), "a-run", tmp_path)
        tracker.start({}, None, anew=False)
        tracker.add(Point("tune", 1, 0.0, loss=1.0))
    assert "no key; call `wandb login`" in capsys.readouterr().err
