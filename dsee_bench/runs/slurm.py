"""A sweep on Slurm: whether its jobs can start, what they wait for, and what became of each.

submitit asks Slurm's accounts (sacct), and many clusters keep none: it then waits for a cancelled job for ever. So the
queue (squeue) is asked here; it knows every job that waits or runs, and for some minutes those that have ended.
"""

import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from submitit import SlurmJob
from submitit.core.utils import FailedJobError, UncompletedJobError
from submitit.slurm.slurm import SlurmInfoWatcher

from dsee_bench.config import ConfigError
from dsee_bench.system.errors import UserError, one_line

OLDEST_NEWS = 60  # seconds between two looks at the queue
WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
RUNNING = {"RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED", "PREEMPTED"}
GONE = "gone from the queue"  # of a job that was cancelled before it began, or ended long ago
ORDINARY = {"None", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Dependency", "Cleaning"}
# Reasons that last until somebody changes the job or the cluster.
LASTING = {"BadConstraints", "InvalidAccount", "InvalidQOS", "JobHeldAdmin", "JobHeldUser", "PartitionConfig"} | {
    "PartitionDown",
    "PartitionInactive",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "AccountNotAllowed",
    "QOSNotAllowed",
}


Jobs = dict[str, tuple[str, str]]  # state and reason of each, by its id


class Launcher(Protocol):
    """What Hydra's launchers do."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        """Run each list of overrides; return Hydra's results when all have ended."""


@dataclass(frozen=True)
class Node:
    """A node as a member of one partition."""

    partition: str
    is_default: bool
    cpus: int
    megabytes: int
    has_gpu: bool
    minutes: float  # limit of a job; infinity for none


def check(launcher: Mapping[str, Any]) -> None:
    """Raise ConfigError if no node of the chosen partition can ever start a job of these settings of hydra.launcher."""
    if shutil.which("sbatch") is None:
        raise ConfigError(
            "hydra/launcher=slurm submits jobs with sbatch, and this machine has no sbatch; hydra/launcher=processes "
            "runs the sweep here"
        )
    asked = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%P|%c|%m|%G|%l"], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise ConfigError(f"hydra/launcher=slurm: Slurm does not answer: {one_line(asked.stderr)}")
    fits(nodes(asked.stdout), launcher)


def nodes(listed: str) -> list[Node]:
    """Return the nodes in what `sinfo --Node --format=%P|%c|%m|%G|%l` prints: partition, CPUs, MB, GPUs, time limit."""
    found = []
    for line in listed.splitlines():
        partition, cpus, megabytes, resources, limit = line.strip().split("|")
        is_default = partition.endswith("*")
        numbers = int(cpus.rstrip("+")), int(megabytes.rstrip("+"))
        found.append(Node(partition.rstrip("*"), is_default, *numbers, "gpu" in resources, _minutes(limit)))
    return found


def _minutes(limit: str) -> float:
    """Return Slurm's [days-][[hours:]minutes:]seconds as minutes; infinity for `infinite` and what has no number."""
    days, _, clock = limit.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts):
        return float("inf")
    seconds = 0
    for part in parts:
        seconds = 60 * seconds + int(part)
    return 1440 * int(days or 0) + seconds / 60


def fits(found: Sequence[Node], launcher: Mapping[str, Any]) -> None:
    """Raise ConfigError if no one of the nodes has what these settings of hydra.launcher ask for, saying what has."""
    wanted = launcher.get("partition")
    names = sorted({node.partition for node in found})
    if wanted is None and not any(node.is_default for node in found):
        raise ConfigError(
            f"the cluster has no default partition; give hydra.launcher.partition=, one of {_listed(names)}"
        )
    chosen = str(wanted).split(",") if wanted is not None else [node.partition for node in found if node.is_default][:1]
    if unknown := sorted(set(chosen) - set(names)):
        raise ConfigError(
            f"hydra.launcher.partition={wanted}: the cluster has no partition {unknown[0]}; it has {_listed(names)}"
        )
    where = f"partition {', '.join(chosen)}"
    left = [node for node in found if node.partition in chosen]
    for key, has, unit in (
        ("timeout_min", lambda node: node.minutes, "minutes"),
        ("cpus_per_task", lambda node: node.cpus, "CPUs"),
        ("mem_gb", lambda node: node.megabytes / 1024, "GB"),
    ):
        asked = launcher.get(key) or 0
        largest = max(map(has, left))
        if asked > largest:
            raise ConfigError(
                f"hydra.launcher.{key}={asked}: no node of {where} gives a job that has the other settings more than "
                f"{largest:g} {unit}; set hydra.launcher.{key}={int(largest)} or less, or another "
                "hydra.launcher.partition"
            )
        left = [node for node in left if has(node) >= asked]
    if (launcher.get("gpus_per_node") or 0) > 0 and not any(node.has_gpu for node in left):
        raise ConfigError(
            f"hydra.launcher.gpus_per_node={launcher['gpus_per_node']}: no node of {where} that has the rest has a "
            "GPU; hydra/launcher=slurm_cpu asks for none, hydra.launcher.partition=NAME for other nodes"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


class Queued:
    """Hydra's launcher for Slurm, with a look at the queue: it checks, says what is waited for, and waits for all."""

    def __init__(self, launcher: Launcher, settings: Mapping[str, Any]) -> None:
        self._launcher, self._settings = launcher, settings

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        """Do what Hydra's launcher does.

        Raises:
            ConfigError: no node can ever take such a job.
            UserError: sbatch refused the jobs, or a job ended without a result; the others have ended too.
        """
        check(self._settings)
        queue = SlurmJob.watcher = Queue(sys.stderr.write)
        try:
            return self._launcher.launch(job_overrides, initial_job_idx)
        except (FailedJobError, UncompletedJobError) as error:
            if not queue.jobs:
                keys = ("partition", "account", "qos", "timeout_min", "cpus_per_task", "mem_gb", "gpus_per_node")
                given = [f"{key}={value}" for key in keys if (value := self._settings.get(key)) is not None]
                raise UserError(
                    f"sbatch refused the jobs: {one_line(str(error))} (hydra.launcher: {', '.join(given)})"
                ) from error
            queue.wait()
            raise UserError(f"not all jobs of {queue.names} ended well: {queue.ends()}") from error
        except KeyboardInterrupt:
            if queue.jobs:
                sys.stderr.write(f"The jobs of {queue.names} stay with Slurm; scancel {queue.names} ends them.\n")
            raise


class Queue(SlurmInfoWatcher):
    """What submitit asks for the state of its jobs: Slurm's queue, here. `say` takes a line when there is news."""

    def __init__(self, say: Callable[[str], object]) -> None:
        super().__init__(delay_s=OLDEST_NEWS)
        self.jobs: Jobs = {}
        self._say, self._told = say, ""

    @property
    def names(self) -> str:
        """The ids that squeue and scancel take."""
        return ",".join(sorted({job.partition("_")[0] for job in self.jobs}))

    def register_job(self, job_id: str) -> None:
        super().register_job(job_id)
        self.jobs.pop(job_id.partition("_")[0], None)  # of an array, submitit registers the whole first
        self.jobs[job_id] = "PENDING", "None"

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        """Return the state in the words that submitit knows."""
        self.update_if_long_enough(mode)
        state, _ = self.jobs.get(job_id, ("PENDING", ""))
        return "PENDING" if state in WAITING else "RUNNING" if state in RUNNING else state

    def update(self) -> None:
        """Ask for the state of all jobs, and tell what has changed."""
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r", f"--jobs={self.names}"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        self._last_status_check = time.time()
        if asked.returncode and "Invalid job id" not in asked.stderr:  # what it says of jobs that it has forgotten
            self._tell(f"Slurm does not answer, it is asked again: {one_line(asked.stderr)}")
            return
        self.jobs = after(self.jobs, asked.stdout)
        self._tell(news(self.jobs, self.names))

    def _tell(self, text: str) -> None:
        if text != self._told:
            self._say(f"{text}\n")
            self._told = text

    def wait(self) -> None:
        """Wait until every job has ended."""
        while any(state in WAITING | RUNNING for state, _ in self.jobs.values()):
            time.sleep(2)
            self.update_if_long_enough("standard")

    def ends(self) -> str:
        """Say how the jobs ended that did not run to their end."""
        others = {job: state for job, (state, _) in self.jobs.items() if state != "COMPLETED"}
        return ", ".join(f"{job} {state}" for job, state in sorted(others.items())) or "no reason is known any more"


def after(jobs: Jobs, listed: str) -> Jobs:
    """Return state and reason of each job after a look at the queue, `listed` as lines of id|state|reason.

    A job that the queue no longer has keeps the state in which it ended; if that was not seen, it is GONE.
    """
    seen = {}
    for line in listed.splitlines():
        job, state, reason = line.strip().split("|", 2)
        seen[job] = state, reason
    ended = {job: found for job, found in jobs.items() if found[0] not in WAITING | RUNNING}
    return {job: seen.get(job) or ended.get(job) or (GONE, "None") for job in jobs}


def news(jobs: Jobs, names: str) -> str:
    """Return a line on how many jobs wait, run and have ended, and why they wait where it is not for their turn."""
    waiting = [reason for state, reason in jobs.values() if state in WAITING]
    running = sum(state in RUNNING for state, _ in jobs.values())
    reasons = _reasons(waiting)
    line = f"Slurm job {names}: {len(waiting)} queued{reasons}, {running} running, "
    line += f"{len(jobs) - len(waiting) - running} of {len(jobs)} ended"
    if set(waiting) & LASTING:
        line += f"; these may never start: scontrol show job {names} says more, scancel {names} ends them"
    return line


def _reasons(waiting: Iterable[str]) -> str:
    counted = Counter(re.sub(r"[(),].*", "", reason) or reason for reason in waiting if reason not in ORDINARY)
    return f" ({', '.join(sorted(counted))})" if counted else ""
