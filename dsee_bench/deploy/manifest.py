"""`manifest.json` of an exported model: what lies in the folder, how to rebuild the model, checksums of it all.

It is written last and read first. A file that is missing, shorter, changed, or not of ours is refused by name before
anything of it is used; nothing in an exported folder is ever unpickled.
"""

import dataclasses
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from typing_extensions import TypedDict

from dsee_bench.config.launch import Storage
from dsee_bench.deploy.untrusted import read_json
from dsee_bench.system.files import check_folder, kind

NAME = "manifest.json"
FORMAT, VERSION = "dsee-bench export", 1

Folded = Literal["none", "merged", "apart"]


class Stated(TypedDict):
    """What the manifest says of a file."""

    bytes: int
    sha256: str


class SiteSize(TypedDict):
    """What it says of a site: the shape (O, I), and the entries that are not zero."""

    shape: list[int]
    nnz: int


class Answered(TypedDict):
    """The task, with labels in the order of the model's outputs."""

    name: str
    kind: str
    labels: list[str]


@dataclass(frozen=True)
class Manifest:
    """Everything about an exported model that its weights do not tell."""

    backbone: str
    task: Answered
    head: Literal["classifier", "language_model"]
    update: Folded  # the adapter: merged into the weights, or apart in adapter/
    storage: Storage
    weights: str  # the file
    compressed: tuple[str, ...]  # parameters that are stored in the layout `storage`; the others are plain
    sites: dict[str, SiteSize]
    heads: tuple[int, ...]  # attention heads of each layer
    parameters: dict[str, tuple[int, ...]]  # shape of each parameter that is narrower than the configuration says
    attributes: dict[str, dict[str, int]]  # module -> attributes that are not what the configuration says
    files: dict[str, Stated]  # every other file
    run_id: str | None = None  # of the run whose model it is

    @property
    def narrowed(self) -> bool:
        return bool(self.parameters)


def contents(folder: Path) -> dict[str, str]:
    """All that lies in `folder` and below but folders, by relative name: "a file", "a symbolic link", ..."""
    found: dict[str, str] = {}
    for path in folder.iterdir():
        if kind(path) == "a folder":
            found |= {f"{path.name}/{name}": what for name, what in contents(path).items()}
        else:
            found[path.name] = kind(path) or "nothing"
    return found


def describe_files(folder: Path) -> dict[str, Stated]:
    """Bytes and sha256 of every file below `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder).as_posix()): _describe(path) for path in files}


def write(manifest: Manifest, folder: Path) -> None:
    content = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    content["seal"] = _seal(content)
    (folder / NAME).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: Path) -> Manifest:
    """The manifest of an exported folder, after every file was found whole; ValueError names what is wrong."""
    content = _content(folder)
    fields = {key: value for key, value in content.items() if key not in ("format", "version", "seal")}
    manifest = _typed(fields, folder / NAME)
    for name, stated in manifest.files.items():
        _check(folder, name, stated)
    for name, found in contents(folder).items():
        if found != "a file" or name not in {*manifest.files, NAME}:
            raise ValueError(f"{folder / name} is {found} that {NAME} does not name; remove it, or export again")
    if manifest.weights not in manifest.files or not manifest.weights.endswith(".safetensors"):
        raise ValueError(f"{folder / NAME} names no file of weights; export the model again")
    return manifest


def _typed(fields: dict[str, Any], path: Path) -> Manifest:
    from pydantic import TypeAdapter, ValidationError

    names = {field.name for field in dataclasses.fields(Manifest)}
    odd = sorted(names ^ fields.keys())
    if odd:
        raise ValueError(f"{path} lacks fields or has unknown ones: {odd[0]:.40}; export the model again")
    try:
        made: Manifest = TypeAdapter(Manifest).validate_json(json.dumps(fields), strict=True)
        return made
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise ValueError(f"{path}: {place:.120}: {fault['msg']}; export the model again") from error


def check_target(folder: Path, force: bool, run_id: str | None = None) -> None:
    """ValueError where exporting to `folder` would lose something: anything but an empty folder, an export of the same
    run or, under `force`, any export. A link to a folder is refused too: the export takes the place of its target."""
    found = kind(folder)
    if found is None:
        check_folder(folder.parent)
        return
    if found != "a folder":
        raise ValueError(f"export={folder} is {found}; give a folder that is empty or not there yet")
    if not any(folder.iterdir()):
        return
    if not is_export(folder):
        raise ValueError(f"export={folder} holds other files; give a folder that is empty or not there yet")
    content = _content(folder)
    foreign = sorted(contents(folder).keys() - {*_typed_files(content), NAME})
    if foreign:
        raise ValueError(f"export={folder} holds {foreign[0]}, which is not of the exported model; move it away")
    there = content.get("run_id")
    if not force and (there is None or there != run_id):
        whose = "an exported model" if there is None else f"the exported model of {there}"
        raise ValueError(f"export={folder} holds {whose}; give another folder, or force=true to replace it")


def _typed_files(content: dict[str, Any]) -> list[str]:
    files = content.get("files")
    return list(files) if isinstance(files, dict) else []


def is_export(folder: Path) -> bool:
    """Whether the folder is one that we wrote, whole or not."""
    try:
        return bool(_content(folder))
    except ValueError:
        return False


def _content(folder: Path) -> dict[str, Any]:
    path = folder / NAME
    if not path.is_file():
        raise ValueError(f"{folder} is no exported model: it has no {NAME}; give a folder that export=DIR wrote")
    content = read_json(path)
    if content.get("format") != FORMAT:
        raise ValueError(f"{path} is not of dsee-bench; give a folder that export=DIR wrote")
    if content.get("version") != VERSION or content["version"] is True:
        raise ValueError(f"{path} has version {content.get('version')}, this release reads {VERSION}; export it again")
    if content.get("seal") != _seal(content):
        raise ValueError(f"{path} was changed after it was written: its seal is broken; export the model again")
    return content


def _check(folder: Path, name: str, stated: Stated) -> None:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != name or "\0" in name or name in (".", NAME):
        raise ValueError(f"{folder / NAME} names {name!r}, which lies outside the folder; it was not written by us")
    path = folder / name
    if any(kind(folder / parent) == "a symbolic link" for parent in [pure, *pure.parents][:-1]):
        raise ValueError(f"{path} is a symbolic link or in one; copy the files themselves, or export the model again")
    if kind(path) != "a file":
        raise ValueError(f"{path} is missing; copy the whole folder, or export the model again")
    if path.stat().st_size != stated["bytes"]:
        raise ValueError(
            f"{path} has {path.stat().st_size} bytes, not {stated['bytes']}: cut off or changed; copy it again"
        )
    if _describe(path) != stated:
        raise ValueError(f"{path} was changed after it was exported: its sha256 is another; copy it again")


def _describe(path: Path) -> Stated:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _seal(content: dict[str, Any]) -> str:
    """sha256 over all of the manifest but the seal itself."""
    rest = {key: value for key, value in content.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
