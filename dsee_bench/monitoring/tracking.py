"""Tracking of a run in wandb, where asked. A failure of it is one warning, and the run goes on.

The wandb run has the id of the run, so that an interrupted run resumes the same one; nothing of wandb's that is global
to a process is used, so that the runs of a sweep never merge. wandb's files lie in the run's work folder. The key is
wandb's own matter (`wandb login`, WANDB_API_KEY); no setting here holds one.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsee_bench.config.launch import Tracking
from dsee_bench.monitoring.console import info, warn
from dsee_bench.monitoring.curve import Point
from dsee_bench.record import Record
from dsee_bench.system.secrets import starred_all

START_SECONDS = 30.0  # the longest wait for wandb at the start of a run
FINISH_SECONDS = 120.0  # and at its end; `wandb sync` can upload the rest later


class Tracker:
    """One run in wandb, or nothing at all."""

    def __init__(self, settings: Tracking, run_id: str, folder: Path) -> None:
        self._settings, self._run_id, self._folder = settings, run_id, folder
        self._run: Any = None  # wandb's Run, while all goes well
        self._before: Mapping[str, int] = {}
        self._first = 0  # step that wandb resumes from: it has all before
        self._sent: set[tuple[int, str | None]] = set()  # step and metric, None for the loss

    def start(self, config: Mapping[str, Any], experiment: str | None, *, anew: bool) -> None:
        """Open the wandb run, or resume it; `anew` overwrites it."""
        if self._settings.mode != "disabled":
            with self._guarded():
                self._open(config, experiment, anew)

    def place(self, before: Mapping[str, int], earlier: Iterable[Point] = ()) -> None:
        """Put the stages on one axis, by the number of steps `before` each, and send the points of earlier starts that
        a killed process did not deliver."""
        self._before = before
        for point in earlier:
            if point.stage in before:
                self.add(point)

    def add(self, point: Point) -> None:
        """Log a point of the training curve."""
        if self._run is None:
            return
        step = self._before[point.stage] + point.step
        if step < self._first or (step, point.metric) in self._sent:
            return  # wandb has it: a resumed tuning repeats some steps
        self._sent.add((step, point.metric))
        values: dict[str, Any] = {"stage": point.stage, "loss": point.loss, "learning_rate": point.learning_rate}
        values |= {} if point.metric is None else {f"{point.split}/{point.metric}": point.dev}
        with self._guarded():
            self._run.log({name: value for name, value in values.items() if value is not None}, step=step)

    def finish(self, record: Record, exit_code: int) -> None:
        """Close the wandb run with the final scores and costs; Ctrl-C ends the wait for wandb."""
        if self._run is None:
            return
        scores = {f"{score.split}/{score.name}": score.value for score in record.scores}
        costs = {f"cost/{cost.name}": cost.value for cost in record.costs}
        try:
            with self._guarded():
                self._run.summary.update({"status": record.status, **scores, **costs})
                self._run.finish(exit_code=exit_code)
        except KeyboardInterrupt:
            warn(f"tracking was not finished; `wandb sync` sends the files in {self._folder / 'wandb'}")
        self._run = None

    def _open(self, config: Mapping[str, Any], experiment: str | None, anew: bool) -> None:
        os.environ.setdefault("WANDB_CACHE_DIR", str(self._folder))  # else its service logs in the home folder

        import wandb

        settings = self._settings
        wandb.setup(wandb.Settings(mode=settings.mode, silent=True))
        # Checked here, since init would prompt for a key at a terminal, and wait longer for a server.
        if settings.mode == "online" and not wandb.login(prompt=False):
            raise RuntimeError("no key; call `wandb login`, or set WANDB_API_KEY")
        self._run = wandb.init(
            mode=settings.mode,
            project=settings.project,
            entity=settings.entity,
            group=settings.group or experiment,
            id=self._run_id,
            name=self._run_id,
            config=starred_all(config),
            dir=self._folder,
            resume=None if anew else "allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=START_SECONDS,
                finish_timeout=FINISH_SECONDS,
                finish_timeout_raises=True,
                # The record has the provenance, without names of persons, folders and hosts.
                disable_git=True,
                disable_code=True,
                disable_job_creation=True,
                x_disable_meta=True,
                x_save_requirements=False,
            ),
        )
        self._first = getattr(self._run, "step", 0)
        info(f"  tracked in {self._folder / 'wandb' if settings.mode == 'offline' else self._run.url}")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """End the tracking, not the run, at an error inside."""
        try:
            yield
        except (Exception, SystemExit) as error:
            self._run = None
            reason = str(error).strip().partition("\n")[0]
            warn(f"tracking ends here, the run goes on: {type(error).__name__}: {reason}")
