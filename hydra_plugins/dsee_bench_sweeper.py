"""Hydra's own sweeper without the runs that are done: these cost no composition, no worker and no job of a cluster.

It lies here because Hydra takes plugins from the namespace package `hydra_plugins` alone; it is read at every start, so
it imports nothing heavy.
"""

import sys
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class UnfinishedSweeper(BasicSweeper):
    """Launches the cells of a sweep whose record is not there or says that the run did not end well; all, where more
    than a record is asked for: each run knows what is left of it."""

    def sweep(self, arguments: list[str]) -> Any:
        from dsee_bench.config import default_results_dir
        from dsee_bench.sweeps.sweep import runnable, unfinished
        from dsee_bench.system.shell import shell_path

        assert self.config is not None
        launch = self.config
        try:
            cells, mistakes = runnable(arguments, self.params)
            left = cells
            if not (launch.force or launch.plan or launch.export or launch.measure):
                data_dir = None if launch.data_dir is None else shell_path(launch.data_dir, "data_dir")
                given = None if launch.results_dir is None else shell_path(launch.results_dir, "results_dir")
                left = unfinished(cells, given or default_results_dir(), data_dir)
        except ValueError as error:  # ConfigError
            sys.exit(f"dsee-bench: {error}")
        for mistake in mistakes:
            print(f"dsee-bench: {mistake}", file=sys.stderr)
        if not cells:
            sys.exit(1)
        self._left = {cell.overrides for cell in left}
        if len(left) < len(cells):
            done = len(cells) - len(left)
            print(f"{done} of {len(cells)} runs are done already; force=true runs them again", file=sys.stderr)
        returns = super().sweep(arguments) if left else []
        if mistakes:
            sys.exit(1)
        return returns

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        return [overrides for overrides in super().get_job_batch() if tuple(overrides) in self._left]

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Nothing more: each cell was composed to learn whether it is done."""
