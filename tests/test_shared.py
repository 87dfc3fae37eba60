"""A results folder that others use: modes by the umask, a second user of the group, and places that are not ours."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dsee_bench import config, record
from dsee_bench.cli.bench import run
from dsee_bench.config import ConfigError
from dsee_bench.runs import sweep
from dsee_bench.system.files import write_atomically

RUN = ["backbone=tiny-bert", "train.max_rows=16", "train.epochs=1", "train.retune_epochs=1", "threads=1", "quiet=true"]
RUN += ["task.rows.dev=16"]
GROUP, FIRST, SECOND = 54321, 54322, 54323


def start(folder, *words, umask=0o022, user=None):
    """Run `dsee-bench` under a umask, as `user` of GROUP if one is given. Returns the finished process."""
    command = ["-m", "dsee_bench.cli.bench", *RUN, f"results_dir={folder}", *words]
    return python(command, umask=umask, user=user, capture_output=True, text=True, cwd=folder)


def python(words, *, umask=0o022, user=None, **options):
    """Run this interpreter under a umask, as `user` of GROUP if one is given. Returns the finished process."""
    as_user = {} if user is None else {"user": user, "group": GROUP, "extra_groups": [GROUP]}
    return subprocess.run([sys.executable, *words], umask=umask, check=False, **as_user, **options)


def may_import(user):
    """Whether `user` may start this interpreter and import the package: not from a checkout below a private folder."""
    try:
        return python(["-c", "import torch, dsee_bench"], user=user, capture_output=True, cwd="/").returncode == 0
    except PermissionError:
        return False


@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_all_that_a_run_leaves_has_the_modes_of_the_umask(umask, tmp_path, under_umask):
    under_umask(umask)
    assert run(sweep.resolved([*RUN, f"results_dir={tmp_path}", f"export={tmp_path}/model", "save_every=0"])) == 0
    paths = [path for path in tmp_path.rglob("*") if path.parent != tmp_path or path.is_dir()]
    assert len(paths) > 20
    wrong = [
        (path, oct(path.stat().st_mode))
        for path in paths
        if stat.S_IMODE(path.stat().st_mode) != (0o777 if path.is_dir() else 0o666) & ~umask
    ]
    assert not wrong


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes two other users, which root alone may")
def test_two_users_of_a_group_share_a_folder(tmp_path):
    if not may_import(FIRST):
        pytest.skip("another user may not read the interpreter or the package where this checkout lies")
    for path in [tmp_path, *tmp_path.parents]:
        if path.owner() == "root" and not path.stat().st_mode & stat.S_IXOTH:
            path.chmod(path.stat().st_mode | stat.S_IXOTH)
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, FIRST, GROUP)
    shared.chmod(0o2775)
    for user in (FIRST, SECOND):
        done = start(shared, "force=true", umask=0o002, user=user)
        assert done.returncode == 0, done.stderr
    (made,) = (shared / "runs").glob("*.json")
    assert made.stat().st_uid == SECOND
    for path in [*shared.rglob("*")]:
        assert path.stat().st_gid == GROUP
        assert not path.is_dir() or path.stat().st_mode & stat.S_ISGID, path


PLANTED = ["log.txt", "curve.jsonl", "run.lock", "answers.parquet", "wandb"]


def test_a_pipe_or_link_in_the_place_of_a_work_file_is_named_at_the_start(tmp_path):
    resolved = sweep.resolved([*RUN, f"results_dir={tmp_path}"])
    name = config.run_id(resolved)
    places = [*(tmp_path / "work" / name / each for each in PLANTED), tmp_path / "runs" / f"{name}.json"]
    for path in places:
        for make in (os.mkfifo, lambda path: path.symlink_to(tmp_path / "elsewhere")):
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
            with pytest.raises(ConfigError, match=f"{path.name} (is a (named pipe|symbolic link)|.* is no file)"):
                run(resolved)
            assert path.is_fifo() or path.is_symlink()
            assert not (tmp_path / "elsewhere").exists()
            path.unlink()


def test_a_results_folder_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    write_atomically(tmp_path / "results" / "page.html", "x")
    assert (tmp_path / "disk" / "page.html").is_file()


def test_a_record_of_another_name_is_refused_by_name(tmp_path):
    path = record.write(record.Record("a-run", "failed", {}, {}), tmp_path)
    for name in ("../../x", "other", ".a-run", "x" * 101):
        path.write_text(path.read_text().replace("a-run", name))
        with pytest.raises(ValueError, match=rf"{path.name} says that it is the record of"):
            record.read(path)
        path.write_text(path.read_text().replace(name, "a-run"))
    with pytest.raises(ValueError, match="is no run id"):
        record.path_of("../../x", tmp_path)
    assert [each.name for each in Path(tmp_path).iterdir()] == ["runs"]
