"""Hydra's sweeper plugin: it launches the runs of a sweep that are not finished.

A finished run costs no composition, no worker and no job of a cluster. The plugin lies here because Hydra takes plugins
from the namespace package `hydra_plugins` alone. Hydra imports it at every start, so it imports nothing heavy.
"""

import sys
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, read_write

if TYPE_CHECKING:
    from dsee_bench.runs.sweep import Cell


class UnfinishedSweeper(Sweeper):
    """Launch the cells of a sweep that have no record of a finished run."""

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, Any] | None = None) -> None:
        self._max_batch_size, self._params = max_batch_size, params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self._context, self._function = config, hydra_context, task_function

    def sweep(self, arguments: list[str]) -> None:
        from dsee_bench.runs.sweep import runnable, unfinished
        from dsee_bench.system.errors import UserError

        try:
            cells, mistakes = runnable(arguments, self._params)
            left = unfinished(cells)
            for mistake in mistakes:
                print(f"dsee-bench: {mistake}", file=sys.stderr)
            if len(left) < len(cells):
                done = len(cells) - len(left)
                print(f"{done} of {len(cells)} runs are done already; force=true runs them again", file=sys.stderr)
            if left:
                self._save_config(left[0].launch.results / "work" / "multirun")
        except ValueError as error:  # ConfigError, or a folder that cannot be written
            sys.exit(f"dsee-bench: {error}")
        try:
            if left:
                self._launch(left)
        except UserError as error:  # the cluster refuses or ends jobs
            sys.exit(f"dsee-bench: {error}")
        if mistakes:
            sys.exit(1)

    def _save_config(self, folder: Path) -> None:
        """Save multirun.yaml, as Hydra's own sweeper does, but among the work files and without secrets."""
        from dsee_bench.system.files import write_atomically
        from dsee_bench.system.secrets import starred

        write_atomically(folder / "multirun.yaml", starred(OmegaConf.to_yaml(self.config)))
        with read_write(self.config.hydra):
            self.config.hydra.sweep.dir = str(folder)  # where launchers put files of their own

    def _launch(self, cells: list["Cell"]) -> None:
        """Launch the cells in batches; raise the error of a failed run, or exit for a killed one, when all have ended.

        Where a worker process is killed, joblib ends the other workers with it and forgets the rest. What is unfinished
        is launched again in two halves, so that a run whose worker is killed every time is in the end alone.
        """
        from dsee_bench.runs.sweep import unfinished

        launcher = Plugins.instance().instantiate_launcher(self._context, self._function, self.config)
        if type(launcher).__name__ == "SlurmLauncher":  # submitit's; it is not there without its extra
            from dsee_bench.runs.slurm import Queued

            launcher = Queued(launcher, launcher.params)
        size = self._max_batch_size or len(cells)
        batches = [cells[start : start + size] for start in range(0, len(cells), size)]
        launched = 0
        killed: list[str] = []
        failed: Exception | None = None
        while batches:
            batch = batches.pop(0)
            try:
                jobs = launcher.launch([cell.overrides for cell in batch], initial_job_idx=launched)
                [job.return_value for job in jobs]  # raises the error of a failed run
            except BrokenProcessPool:
                left = unfinished(batch)
                middle = (len(left) + 1) // 2
                if len(batch) == 1:
                    killed.append(batch[0].run_id)
                    print(f"{batch[0].run_id}: its process was killed", file=sys.stderr)
                else:
                    batches += [half for half in (left[:middle], left[middle:]) if half]
            except Exception as error:  # of a run, which logged it; all runs of this batch have ended
                failed = error
            launched += len(batch)
        if killed:
            sys.exit(f"dsee-bench: {len(killed)} interrupted: {', '.join(killed)}; the same command goes on with them")
        if failed is not None:
            raise failed
