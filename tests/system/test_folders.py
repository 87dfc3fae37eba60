"""A folder under a seal: every change of a byte, a name or a kind is noticed."""

import os
import time

import pytest

from dsee_bench.system.folders import HALF, SEAL, damage, dead, half_made, is_whole, seal


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "state"
    made.mkdir()
    (made / "weights").write_bytes(bytes(range(200)))
    (made / "notes").write_text("[1]")
    seal(made)
    assert is_whole(made)
    return made


def flip(file):
    content = bytearray(file.read_bytes())
    content[9] ^= 1
    file.write_bytes(content)


HARMS = [
    # harm, what is said
    (lambda folder: flip(folder / "weights"), "has a changed weights"),
    (lambda folder: (folder / "weights").write_bytes(b""), "has a changed weights"),
    (lambda folder: (folder / "weights").unlink(), "lacks weights"),
    (lambda folder: (folder / "more").touch(), "has a foreign file, more"),
    (lambda folder: (folder / "notes").unlink() or (folder / "notes").mkdir(), "has a changed notes"),
    (lambda folder: (folder / "notes").unlink() or os.mkfifo(folder / "notes"), "has a changed notes"),
    (lambda folder: (folder / SEAL).unlink(), "was not written to its end"),
    (lambda folder: (folder / SEAL).unlink() or (folder / SEAL).mkdir(), "cannot be read (Is a directory)"),
    (lambda folder: (folder / SEAL).write_bytes(b"\xff"), f"has a damaged {SEAL}"),
    (lambda folder: (folder / SEAL).write_text("[]"), f"has a damaged {SEAL}"),
    (lambda folder: (folder / SEAL).write_text('{"folder": "state", "sha256": 5}'), f"has a damaged {SEAL}"),
    (lambda folder: (folder / SEAL).write_text("[" * 100_000), f"has a damaged {SEAL}"),
    (lambda folder: (folder / SEAL).write_text('{"weights": 200, "notes": 3}'), f"has a damaged {SEAL}"),
]


@pytest.mark.parametrize(("harm", "said"), HARMS)
def test_a_change_is_noticed_and_named(folder, harm, said):
    harm(folder)
    assert damage(folder) == said


def test_a_folder_under_another_name_is_not_the_one_that_was_sealed(folder):
    moved = folder.rename(folder.with_name("other"))
    assert damage(moved) == "was made as state"


def test_half_made_folders_of_dead_processes_go_and_those_of_live_ones_stay(tmp_path):
    target = tmp_path / "export"
    left = tmp_path / f".export.0123abcd{HALF}"
    left.mkdir()
    (left / "weights").touch()
    others = tmp_path / ".export.old"  # a user's
    others.mkdir()
    with half_made(target) as alive:
        (alive / "weights").touch()
        assert not left.exists()
        assert dead(tmp_path) == [], "the one that is being made is alive"
        with half_made(target) as second:
            assert alive.is_dir()
            assert second.is_dir()
        alive.rename(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".export.old", "export"]


def test_a_half_made_folder_goes_with_its_process(tmp_path):
    child = os.fork()
    if not child:
        with half_made(tmp_path / "export"):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    time.sleep(0)
    assert len(dead(tmp_path)) == 1
    with half_made(tmp_path / "export"):
        pass
    assert list(tmp_path.iterdir()) == []
