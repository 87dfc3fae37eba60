"""Nothing but files is written over, and names of files decide no path."""

import os
import socket
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dsee_bench.system import files, folders


def _pipe(path):
    os.mkfifo(path)


def _socket(path):
    # A socket's path has 107 characters at most, tmp_path may be longer: so it is bound by a relative name.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


def _link(path):
    (path.parent / "theirs").write_text("somebody else's")
    path.symlink_to(path.parent / "theirs")


def _dangling(path):
    path.symlink_to(path.parent / "nowhere")


def _link_to_folder(path):
    (path.parent / "folder").mkdir()
    path.symlink_to(path.parent / "folder")


FOREIGN = [
    # what lies in the file's place, as the error calls it
    (_pipe, "a named pipe"),
    (_socket, "a socket"),
    (_link, "a symbolic link"),
    (_dangling, "a symbolic link"),
    (_link_to_folder, "a symbolic link"),
    (Path.mkdir, "a folder"),
]


def _append(path):
    with open(path, "a", opener=files.opener) as stream:
        stream.write("new")


def _unchanged(path, before):
    after = path.lstat()
    return (before.st_ino, before.st_mode, before.st_size) == (after.st_ino, after.st_mode, after.st_size)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("make", "called"), FOREIGN)
@pytest.mark.parametrize("write", [lambda path: files.write_atomically(path, "new"), _append])
def test_only_a_file_is_written_over(write, make, called, tmp_path):
    path = tmp_path / "x"
    make(path)
    before = path.lstat()
    with pytest.raises(ValueError, match=rf"x is {called}"):
        write(path)
    assert _unchanged(path, before)
    assert not any(each.name.startswith(".") for each in tmp_path.iterdir())
    assert not (tmp_path / "theirs").exists() or (tmp_path / "theirs").read_text() == "somebody else's"


def test_what_comes_in_between_is_left_alone(tmp_path, monkeypatch):
    """The place is looked at again after the slow part, which is writing to disk."""
    path = tmp_path / "x"
    monkeypatch.setattr(os, "fsync", lambda _: os.mkfifo(path))
    with pytest.raises(ValueError, match="x is a named pipe"):
        files.write_atomically(path, "new")
    assert stat.S_ISFIFO(path.lstat().st_mode)
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_a_folder_may_be_a_link_to_one_and_nothing_else(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write_atomically(tmp_path / "link" / "new" / "x", "text")
    assert (tmp_path / "real" / "new" / "x").read_text() == "text"
    for make, called in [(_pipe, "a named pipe"), (_dangling, "a symbolic link"), (Path.touch, "a file")]:
        place = tmp_path / called.replace(" ", "_")
        make(place)
        with pytest.raises(ValueError, match=f"is {called}, and no folder"):
            files.write_atomically(place / "inner" / "x", "text")


NAMES = [
    # text,                 file name,              why
    ("rte-dsee_0.2", "rte-dsee_0.2", "a plain name stays"),
    ("..", "_.-", "no folder above"),
    ("x/../../y", "x_.._.._y-", "no separator"),
    (".hidden", "_hidden-", "no dot in front"),
    ("a\0b", "a_b-", "no zero byte"),
    ("Ω", "_-", "ASCII alone"),
    ("n" * 190, "n" * 91 + "-", "no longer than 100"),
    ("", "-", "never empty"),
]


@pytest.mark.parametrize(("text", "start", "why"), NAMES)
def test_names_of_files_are_plain_short_and_unique(text, start, why, tmp_path):
    name = files.file_name(text)
    assert name == text if text == start else name.startswith(start), why
    assert len(name) <= 100
    assert files.file_name(name) == name
    assert files.file_name(f"{text}/") != name
    (tmp_path / name).touch()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_shared_files_have_the_modes_of_the_umask(umask, tmp_path, under_umask):
    under_umask(umask)
    folder = folders.half_name(tmp_path / "x")
    (folder / "inner").mkdir(parents=True)
    for place in (folder, folder / "inner"):
        save_file({"x": torch.zeros(1)}, place / "x.safetensors")
    folders.share(folder)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*.safetensors")}
    assert modes == {0o666 & ~umask}
