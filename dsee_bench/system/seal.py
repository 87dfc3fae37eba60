"""Notice when a folder of files is not as it was written: the name of the folder, its files, and a checksum of each.

The seal is no defence against a person who changes it too: nothing that is read under it is ever unpickled.
"""

import json
import os
from pathlib import Path

from dsee_bench.system.checksum import sha256
from dsee_bench.system.files import share, write_atomically

SEAL = "whole.json"


def seal(folder: Path, name: str | None = None) -> None:
    """Flush the files of `folder` to disk, then write down which there are and their checksums. `name`: of the folder,
    where it is renamed afterwards."""
    share(folder)
    for file in _files(folder):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    checksums = {file.name: sha256(file) for file in _files(folder)}
    write_atomically(folder / SEAL, json.dumps({"folder": name or folder.name, "sha256": checksums}))


def is_whole(folder: Path) -> bool:
    """Whether `folder` was sealed under its name, and has the same files with the same content."""
    return not damage(folder)


def damage(folder: Path) -> str:
    """Say what of `folder` is not as it was sealed; "" where all of it is."""
    if folder.is_dir() and not os.path.lexists(folder / SEAL):
        return "was not written to its end"
    try:
        stated = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        if stated["folder"] != folder.name:
            return f"was made as {stated['folder']}"
        files = {file.name: file for file in _files(folder)}
        if odd := sorted(files.keys() ^ stated["sha256"].keys()):
            return f"lacks {odd[0]}" if odd[0] in stated["sha256"] else f"has a foreign file, {odd[0]}"
        for name, file in files.items():
            if not file.is_file() or sha256(file) != stated["sha256"][name]:
                return f"has a changed {name}"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"has a damaged {SEAL}"
    return ""


def _files(folder: Path) -> list[Path]:
    """What lies in the folder, but for the seal and hidden files."""
    return [path for path in sorted(folder.iterdir()) if path.name != SEAL and not path.name.startswith(".")]
