"""A Slurm cluster of one node on this machine, in a folder of its own, for any user: nothing outside it is changed.

Debian has the programs as packages: `apt-get install slurm-wlm munge`.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd")
CPUS, MEGABYTES = 2, 8000  # of the node, whatever the machine has
SETTINGS = """\
ClusterName=one-node
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SlurmdTimeout=20
KillWait=10
MinJobAge=300
ReturnToService=2
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={megabytes}
PartitionName=main Nodes=node1 Default=YES MaxTime=60 OverTimeLimit=0
PartitionName=short Nodes=node1 MaxTime=1
"""


def missing() -> list[str]:
    """Return the programs of a cluster that this machine does not have."""
    return [name for name in PROGRAMS if _program(name) is None]


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@dataclass
class Cluster:
    """A running cluster. `environment` is what a command needs to find it."""

    folder: Path
    environment: dict[str, str]
    node: subprocess.Popen[bytes]

    def ask(self, *command: str) -> str:
        """Return what a command of Slurm prints."""
        return subprocess.run(command, env=self.environment, text=True, capture_output=True, check=True).stdout

    def states(self, job: str = "") -> dict[str, str]:
        """Return the state of each job, of an array's elements too, that the cluster still knows."""
        listed = self.ask("squeue", "--noheader", "--array", "--states=all", "--format=%i %T", *filter(None, [job]))
        return dict(line.split() for line in listed.splitlines())

    def wait_until(self, true: str, seconds: float, condition) -> None:
        """Wait until `condition()`; AssertionError with `true` and the cluster's log after `seconds`."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {true}\n{self.ask('squeue', '--states=all')}")
            time.sleep(0.5)

    def lose_node(self) -> None:
        """Kill the node's daemon and the jobs on it, as when a machine fails."""
        jobs = self.ask("squeue", "--noheader", "--states=RUNNING", "--format=%A").split()
        for line in subprocess.run(
            ["ps", "-eo", "pid,args"], text=True, capture_output=True, check=True
        ).stdout.splitlines():
            pid, _, command = line.strip().partition(" ")
            if "slurmstepd: [" in command and any(f"[{job}." in command for job in jobs):
                _kill_tree(int(pid))
        self.node.kill()
        self.node.wait()
        self.ask("scontrol", "update", "NodeName=node1", "State=DOWN", "Reason=lost")

    def return_node(self) -> None:
        """Start the node's daemon again."""
        self.node = _start(
            self.folder, self.environment, "slurmd", "-D", "-N", "node1", "-f", str(self.folder / "slurm.conf")
        )
        resume = ["scontrol", "update", "NodeName=node1", "State=RESUME"]  # refused where it has returned by itself
        subprocess.run(resume, env=self.environment, capture_output=True, check=False)
        self.wait_until("the node is back", 60, lambda: "down" not in self.ask("sinfo", "--noheader", "--format=%T"))


def _kill_tree(pid: int) -> None:
    """Kill a process and all below it."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], text=True, capture_output=True).stdout
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for child in children.split():
        _kill_tree(int(child))


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Start a cluster with its files in `folder`, wait until its node is idle, and end it with all its jobs.

    Its partitions are `main` (the default, an hour) and `short` (a minute). It keeps no accounts, as small clusters do.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    host = socket.gethostname()
    values = {"host": host, "ports": _free_ports(2), "user": getpass.getuser(), "folder": folder}
    configuration = folder / "slurm.conf"
    configuration.write_text(SETTINGS.format(**values, cpus=CPUS, megabytes=MEGABYTES))
    environment = {
        **os.environ,
        "SLURM_CONF": str(configuration),
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin",
    }
    munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "log", "pid", "seed")]
    with contextlib.ExitStack() as stack:
        munged = _start(
            folder, environment, "munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *munge
        )
        stack.callback(_end, munged)
        controller = _start(folder, environment, "slurmctld", "-D", "-f", str(configuration))
        stack.callback(_end, controller)
        node = _start(folder, environment, "slurmd", "-D", "-N", "node1", "-f", str(configuration))
        running = Cluster(folder, environment, node)
        stack.callback(lambda: _end(running.node))
        _wait_for_node(running)
        yield running
        running.ask("scancel", "--user", getpass.getuser())
        running.wait_until("all jobs have ended", 40, lambda: not running.ask("squeue", "--noheader"))


def _wait_for_node(running: Cluster) -> None:
    """Wait until the node is idle; RuntimeError with the logs after half a minute."""
    for _ in range(60):
        found = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], env=running.environment, text=True, capture_output=True
        )
        if "idle" in found.stdout:
            return
        time.sleep(0.5)
    logs = "\n".join(path.read_text()[-2000:] for path in sorted(running.folder.glob("*.out")))
    raise RuntimeError(f"the cluster did not start: {found.stdout}{found.stderr}\n{logs}")


def _start(folder: Path, environment: dict[str, str], name: str, *words: str) -> subprocess.Popen[bytes]:
    program = _program(name)
    assert program is not None
    with (folder / f"{name}.out").open("ab") as log:
        return subprocess.Popen([program, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
