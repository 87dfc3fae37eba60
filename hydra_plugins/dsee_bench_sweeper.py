"""Hydra's own sweeper without the runs that are done: these cost no composition, no worker and no job of a cluster.

It lies here because Hydra takes plugins from the namespace package `hydra_plugins` alone; it is read at every start, so
it imports nothing heavy.
"""

import sys
from collections.abc import Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

if TYPE_CHECKING:
    from dsee_bench.runs.sweep import Cell


class UnfinishedSweeper(BasicSweeper):
    """Launches the cells of a sweep whose record is not there or says that the run did not end well; all, where more
    than a record is asked for: each run knows what is left of it."""

    def sweep(self, arguments: list[str]) -> Any:
        from dsee_bench.config import default_results_dir
        from dsee_bench.runs.sweep import runnable, unfinished
        from dsee_bench.system.shell import shell_path

        assert self.config is not None
        launch = self.config
        try:
            cells, mistakes = runnable(arguments, self.params)
            left = cells
            given = None if launch.results_dir is None else shell_path(launch.results_dir, "results_dir")
            self._results = given or default_results_dir()
            if not (launch.force or launch.plan or launch.export or launch.measure):
                data_dir = None if launch.data_dir is None else shell_path(launch.data_dir, "data_dir")
                left = unfinished(cells, self._results, data_dir)
        except ValueError as error:  # ConfigError
            sys.exit(f"dsee-bench: {error}")
        for mistake in mistakes:
            print(f"dsee-bench: {mistake}", file=sys.stderr)
        if not cells:
            sys.exit(1)
        if len(left) < len(cells):
            done = len(cells) - len(left)
            print(f"{done} of {len(cells)} runs are done already; force=true runs them again", file=sys.stderr)
        returns = self._survive(arguments, left)
        if mistakes:
            sys.exit(1)
        return returns

    def _survive(self, arguments: list[str], left: Sequence["Cell"]) -> Any:
        """Launch what is left. Where a worker process is killed, joblib ends the other workers with it and forgets the
        rest: that rest is launched again, and the runs that were going on then, each alone, so that the one whose
        worker is killed every time harms no other."""
        batches = [list(left)] if left else []
        returns: list[Any] = []
        killed: list[str] = []
        failed: Exception | None = None
        while batches:
            batch = batches.pop(0)
            self._left = {cell.overrides for cell in batch}
            self.batch_index = 0  # Hydra counts on over its sweeps
            try:
                returns += super().sweep(arguments)
            except BrokenProcessPool:
                if len(batch) == 1:
                    killed.append(batch[0].run_id)
                    print(f"{batch[0].run_id}: its process was killed", file=sys.stderr)
                else:
                    batches += self._after_a_kill(batch)
            except Exception as error:  # of a run, which told of it; all of this batch have ended
                failed = error
        if killed:
            sys.exit(f"dsee-bench: {len(killed)} stopped: {', '.join(killed)}; the same command goes on with them")
        if failed is not None:
            raise failed
        return returns

    def _after_a_kill(self, batch: Sequence["Cell"]) -> Iterable[list["Cell"]]:
        """What of the batch is not done: the runs that had not begun together, the others one by one."""
        from dsee_bench.runs.state import state_of

        names = {cell: state_of(cell.run_id, self._results).name for cell in batch}
        waiting = [cell for cell, name in names.items() if name in ("missing", "failed")]
        begun = [cell for cell, name in names.items() if name in ("interrupted", "running", "unreadable")]
        if len(waiting) == len(batch):  # nothing tells which one it was
            waiting, begun = [], list(batch)
        return [*([waiting] if waiting else []), *([cell] for cell in begun)]

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        from dsee_bench.system.secrets import starred

        assert self.config is not None
        noted = Path(self.config.hydra.sweep.dir) / "multirun.yaml"  # Hydra wrote it just before
        noted.write_text(starred(noted.read_text(encoding="utf-8")), encoding="utf-8")
        return [overrides for overrides in super().get_job_batch() if tuple(overrides) in self._left]

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing more: each cell was composed to learn whether it is done."""
