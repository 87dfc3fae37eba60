"""Sweeps on Slurm: what is read from its answers, and (slow) a real cluster of one node on this machine.

The lines of squeue and sinfo are what Slurm 22.05 printed on such a cluster.
"""

import signal
import subprocess
import sys
from dataclasses import asdict

import one_node_slurm
import pytest

from dsee_bench import record
from dsee_bench.config import ConfigError
from dsee_bench.runs import slurm, sweep
from dsee_bench.runs.state import state_of

SINFO = """\
main*|2|8000|(null)|1:00:00
short|2|8000|(null)|1:00
short|64|256000|gpu:a100:4|1:00
long|4|16000|(null)|infinite
"""
SMALL = {"cpus_per_task": 2, "mem_gb": 7, "timeout_min": 60, "gpus_per_node": None, "partition": None}


def test_what_sinfo_prints_is_read():
    main, short, with_gpu, long = slurm.nodes(SINFO)
    assert main == slurm.Node("main", True, 2, 8000, False, 60)
    assert short.minutes == 1
    assert with_gpu.has_gpu
    assert long.minutes == float("inf")
    assert slurm.nodes("week|1|1|(null)|7-00:30:00")[0].minutes == 7 * 24 * 60 + 30


TOO_LARGE = [
    # what is asked for, what the message must have
    ({"cpus_per_task": 3}, ["hydra.launcher.cpus_per_task=3", "partition main", "more than 2 CPUs"]),
    ({"mem_gb": 8}, ["hydra.launcher.mem_gb=8", "7.8125 GB", "hydra.launcher.mem_gb=7 "]),  # 8000 MB of 1024 KB
    ({"timeout_min": 61}, ["hydra.launcher.timeout_min=61", "60 minutes"]),
    ({"gpus_per_node": 1}, ["hydra.launcher.gpus_per_node=1", "no node of partition main", "slurm_cpu"]),
    ({"partition": "nights"}, ["hydra.launcher.partition=nights", "main, short"]),
    # The node with 64 CPUs gives no job ten minutes.
    ({"partition": "main,short", "timeout_min": 10, "cpus_per_task": 8}, ["cpus_per_task=8", "more than 2 CPUs"]),
]


@pytest.mark.parametrize(("asked", "said"), TOO_LARGE)
def test_a_job_that_no_node_can_take_is_refused(asked, said):
    with pytest.raises(ConfigError) as error:
        slurm.fits(slurm.nodes(SINFO), {**SMALL, **asked})
    assert all(word in str(error.value) for word in said), error.value


def test_a_cluster_without_a_default_partition_wants_a_name():
    with pytest.raises(ConfigError, match=r"hydra.launcher.partition=, one of long, main, short"):
        slurm.fits(slurm.nodes(SINFO.replace("*", "")), SMALL)


FITTING = [SMALL, {**SMALL, "partition": "short", "gpus_per_node": 1, "timeout_min": 1}, {**SMALL, "partition": "long"}]


@pytest.mark.parametrize("asked", FITTING)
def test_a_job_that_a_node_can_take_is_let_pass(asked):
    slurm.fits(slurm.nodes(SINFO), asked)


def test_a_job_that_left_the_queue_is_gone_unless_its_end_was_seen():
    jobs = {"7_0": ("PENDING", "None"), "7_1": ("RUNNING", "None"), "7_2": ("RUNNING", "None")}
    once = slurm.after(jobs, "7_0|RUNNING|None\n7_1|CANCELLED|None\n")
    assert once == {"7_0": ("RUNNING", "None"), "7_1": ("CANCELLED", "None"), "7_2": (slurm.GONE, "None")}
    assert slurm.after(once, "")["7_1"] == ("CANCELLED", "None")
    assert slurm.after(once, "7_0|PENDING|BeginTime\n")["7_0"] == ("PENDING", "BeginTime")  # put back into the queue


def test_the_line_says_why_jobs_wait_where_that_lasts():
    ordinary = {"7_0": ("PENDING", "Priority"), "7_1": ("RUNNING", "None"), "7_2": ("COMPLETED", "None")}
    assert slurm.news(ordinary, "7") == "Slurm job 7: 1 queued, 1 running, 1 of 3 ended"
    down = {**ordinary, "7_3": ("PENDING", "PartitionDown")}
    line = slurm.news(down, "7")
    assert line.startswith("Slurm job 7: 2 queued (PartitionDown), 1 running, 1 of 4 ended; these may never start: ")
    assert line.endswith("scancel 7 ends them")
    away = {"8": ("PENDING", "ReqNodeNotAvail, UnavailableNodes:node1")}
    assert slurm.news(away, "8") == "Slurm job 8: 1 queued (ReqNodeNotAvail), 0 running, 0 of 1 ended"


def test_a_machine_without_slurm_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no sbatch; hydra/launcher=processes"):
        slurm.check(SMALL)


def test_a_job_takes_the_cores_that_slurm_gave_it(monkeypatch):
    from dsee_bench.runs import launching

    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert launching.threads_per_run({"_target_": "SlurmLauncher"}) == 3


# --- a real cluster ---------------------------------------------------------------------------------------------------

RUN = [
    *("task=toy_pairs", "backbone=tiny-bert", "threads=1", "task.rows.dev=32", "train.max_rows=64"),
    *("train.epochs=1", "train.retune_epochs=1", "train.lr_adapter=1e-2", "seed=0,1"),
]
JOB = [
    *("hydra/launcher=slurm_cpu", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2"),
    "hydra.launcher.timeout_min=30",
]
COMMAND = [sys.executable, "-m", "dsee_bench.cli.bench", "--multirun"]
FULL = ["method=full", "seed=0", "train.eval_strategy=steps", "train.eval_steps=2000", "save_every=5"]
LONG = [*FULL, "train.epochs=3000"]  # a minute of a fast core at least
SHORT = [*FULL, "train.epochs=800"]
slow = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        bool(one_node_slurm.missing()), reason=f"no {', '.join(one_node_slurm.missing())}: install slurm-wlm and munge"
    ),
]


def real(test):
    """Mark a test that needs Slurm's programs."""
    for mark in slow:
        test = mark(test)
    return test


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with one_node_slurm.cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


class Sweep:
    """`dsee-bench --multirun` with these words on the cluster, in the background."""

    def __init__(self, cluster, folder, *words, job=()):
        self.cluster = cluster
        self.said = folder / f"said-{len(list(folder.glob('said-*')))}.txt"
        with self.said.open("wb") as output:
            command = [*COMMAND, *RUN, *words, *JOB, *job, f"results_dir={folder}"]
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=cluster.environment)

    def until(self, text, seconds=120):
        """Wait until the command has said this."""
        self.cluster.wait_until(f"{text!r} in {self.said}", seconds, lambda: text in self.said.read_text())

    def end(self, seconds=1200):
        """Return the exit code and what was said, when the command has ended."""
        code = self.process.wait(seconds)
        return code, self.said.read_text()

    @property
    def job(self):
        """The id of the job, once the command has said it."""
        self.until("Slurm job ")
        return self.said.read_text().partition("Slurm job ")[2].partition(":")[0]


def states(folder, *words):
    return [state_of(cell.run_id, folder).name for cell in sweep.expand([*RUN, *words])]


def results(folder, *words):
    """Scores, costs and curves of the records."""
    kept = [asdict(record.read(record.path_of(cell.run_id, folder))) for cell in sweep.expand([*RUN, *words])]
    return [[run["scores"], run["costs"], [stage["facts"].get("dev") for stage in run["stages"]]] for run in kept]


def without_slurm(folder, *words):
    """Results of the same runs on this machine, one after the other."""
    done = subprocess.run([*COMMAND, *RUN, *words, f"results_dir={folder}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return results(folder, *words)


def log_of(folder):
    return "".join(path.read_text(errors="replace") for path in folder.glob("work/*/log.txt"))


def restarts(cluster, job):
    return int(cluster.ask("scontrol", "show", "job", job).partition("Restarts=")[2].split()[0])


@real
def test_fifty_jobs_give_fifty_records(cluster, tmp_path):
    words = ["method=majority", f"seed={','.join(map(str, range(50)))}"]
    code, said = Sweep(cluster, tmp_path, *words).end()
    assert code == 0, said
    assert states(tmp_path, *words) == ["finished"] * 50
    assert "of 50 ended" in said
    assert "sacct" not in said


@real
def test_a_cancelled_job_is_named_and_the_same_command_goes_on(cluster, tmp_path):
    words = ["method=majority,full", "seed=0"]
    sent = Sweep(cluster, tmp_path, *words)
    element = f"{sent.job}_1"
    cluster.ask("scancel", element)
    code, said = sent.end()
    assert code == 1, said
    assert f"ended well: {element} " in said  # CANCELLED, or gone from the queue if it had not begun
    assert "Traceback" not in said
    whole, cancelled = states(tmp_path, *words)
    assert whole == "finished"
    assert cancelled != "finished"
    code, said = Sweep(cluster, tmp_path, *words).end()
    assert code == 0, said
    assert "1 of 2 runs are done already" in said
    assert states(tmp_path, *words) == ["finished", "finished"]


@real
def test_a_partition_that_is_down_is_said_and_the_command_can_be_stopped(cluster, tmp_path):
    words = ["method=majority", "seed=0"]
    cluster.ask("scontrol", "update", "PartitionName=short", "State=DOWN")
    try:
        sent = Sweep(cluster, tmp_path, *words, job=["hydra.launcher.partition=short", "hydra.launcher.timeout_min=1"])
        sent.until("(PartitionDown)")
        sent.process.send_signal(signal.SIGINT)
        code, said = sent.end(60)
    finally:
        cluster.ask("scontrol", "update", "PartitionName=short", "State=UP")
    assert code != 0
    assert f"these may never start: scontrol show job {sent.job} says more" in said
    assert f"The jobs of {sent.job} stay with Slurm; scancel {sent.job} ends them" in said
    cluster.wait_until("the job gives its record", 120, lambda: states(tmp_path, *words) == ["finished"])


@real
def test_what_sbatch_refuses_is_one_line(cluster, tmp_path):
    sent = Sweep(cluster, tmp_path, "method=majority", "seed=0", job=["hydra.launcher.constraint=fast"])
    code, said = sent.end(120)
    assert code == 1
    assert "sbatch refused the jobs" in said
    assert "Traceback" not in said


def minutes_run(cluster, job):
    """Whole minutes that the job has run."""
    hours, minutes, _ = cluster.ask("scontrol", "show", "job", job).partition("RunTime=")[2].split()[0].split(":")
    return 60 * int(hours) + int(minutes)


def wait_for_training(cluster, folder):
    cluster.wait_until("training has begun", 300, lambda: " step " in log_of(folder))


@real
def test_a_job_at_its_time_limit_is_put_back_and_goes_on(cluster, tmp_path):
    """When it trains its limit becomes a minute or two from then, and when it waits ten minutes: it is reached once."""
    sent = Sweep(cluster, tmp_path, *LONG, job=["hydra.launcher.timeout_min=10", "hydra.launcher.signal_delay_s=90"])
    job = sent.job
    wait_for_training(cluster, tmp_path)
    cluster.ask("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes_run(cluster, job) + 2}")
    cluster.wait_until("the job waits again", 200, lambda: cluster.states()[job] == "PENDING")
    cluster.ask("scontrol", "update", f"JobId={job}", "TimeLimit=10")
    code, said = sent.end()
    assert code == 0, said
    assert restarts(cluster, job) == 1
    assert "goes on from step" in log_of(tmp_path)
    assert results(tmp_path, *LONG) == without_slurm(tmp_path / "alone", *LONG)


@real
def test_a_job_whose_node_fails_is_started_again(cluster, tmp_path):
    sent = Sweep(cluster, tmp_path, *SHORT)
    job = sent.job
    wait_for_training(cluster, tmp_path)
    cluster.lose_node()
    cluster.wait_until("the job waits again", 120, lambda: cluster.states()[job] != "RUNNING")
    cluster.return_node()
    code, said = sent.end()
    assert code == 0, said
    assert restarts(cluster, job) == 1
    assert "goes on from step" in log_of(tmp_path)
    assert results(tmp_path, *SHORT) == without_slurm(tmp_path / "alone", *SHORT)
