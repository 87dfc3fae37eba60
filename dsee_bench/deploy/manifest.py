"""`manifest.json` of an exported model: the files of the folder, how to rebuild the model, checksums of it all.

It is written last and read first. A file that is missing, shorter, changed, or not of ours is refused by name before
anything of it is used; nothing in an exported folder is ever unpickled.
"""

import dataclasses
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from dsee_bench.config.launch import Storage
from dsee_bench.deploy.untrusted import read_json
from dsee_bench.models.spec import ModelSpec
from dsee_bench.record import first_fault
from dsee_bench.system.files import check_folder, kind
from dsee_bench.tasks.example import Kind, Truncate

NAME = "manifest.json"
CARD = "README.md"  # may be edited: nothing reads it
HUBS = (".gitattributes", ".cache")  # what the hub adds to a repository, and its client to a downloaded folder
FORMAT, VERSION = "dsee-bench export", 3

Form = Literal["none", "merged", "apart"]


class FileSum(TypedDict):
    """Size and checksum of a file."""

    bytes: int
    sha256: str


class Writing(TypedDict):
    """How a model that writes texts is asked for one."""

    prompt: str | None  # the template of the prompt; None: the contexts come from no columns
    linearize: str | None  # what adds a column that the template names
    continued: bool  # whether a text goes on from the prompt itself
    decode: dict[str, Any]  # the search


class TaskOutputs(TypedDict):
    """The task, with labels in the order of the model's outputs, and how the run read its rows."""

    name: str
    kind: Kind
    labels: list[str]
    texts: list[str]  # columns of the texts; [] where the rows were not read from columns
    max_length: int  # tokens
    truncate: NotRequired[Truncate]  # which of a long text stay
    writes: NotRequired[Writing]  # of texts
    precision: Literal["auto", "fp32", "bf16"]
    threshold: NotRequired[float]  # of several labels: the probability above which a label is an answer
    choices: NotRequired[list[str]]  # of multiple choice: the columns of the choices, or the one that holds them all
    blank: NotRequired[str | None]  # and the mark in the context that they replace


@dataclass(frozen=True)
class Manifest:
    """Everything about an exported model that its weights do not tell."""

    backbone: str
    task: TaskOutputs
    adapter: Form  # merged into the weights, or apart in files of its own
    narrowed: bool  # it has fewer heads or neurons than its configuration says: those of `spec`
    storage: Storage
    weights: str  # the file
    compressed: tuple[str, ...]  # parameters that are stored in the layout `storage`; the others are plain
    spec: ModelSpec  # of the weights in the file
    files: dict[str, FileSum]  # every other file
    run_id: str | None = None  # of the run whose model it is


def contents(folder: Path) -> dict[str, str]:
    """Return all that lies in `folder` and below but folders, by relative name: "a file", "a symbolic link", ..."""
    kinds: dict[str, str] = {}
    for path in folder.iterdir():
        if kind(path) == "a folder":
            kinds |= {f"{path.name}/{name}": of for name, of in contents(path).items()}
        else:
            kinds[path.name] = kind(path) or "nothing"
    return kinds


def _own_contents(folder: Path) -> dict[str, str]:
    """What lies in an exported folder, without the hub's own files."""
    return {
        name: of
        for name, of in contents(folder).items()
        if not (of == "a file" and PurePosixPath(name).parts[0] in HUBS) and (name, of) != (CARD, "a file")
    }


def describe_files(folder: Path) -> dict[str, FileSum]:
    """Return bytes and sha256 of every file below `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder).as_posix()): describe(path) for path in files}


def write(manifest: Manifest, folder: Path) -> None:
    """Write the manifest, sealed, into the exported folder."""
    content = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    content["seal"] = seal(content)
    (folder / NAME).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: Path) -> Manifest:
    """Return the manifest of an exported folder once every file is found whole; ValueError names what is wrong."""
    manifest = _typed(_content(folder), folder / NAME)
    for name, expected in manifest.files.items():
        if name != CARD:
            _check(folder, name, expected)
    for name, of in _own_contents(folder).items():
        if of != "a file" or name not in {*manifest.files, NAME}:
            raise ValueError(f"{folder / name} is {of} that {NAME} does not name; remove it, or export again")
    if manifest.weights not in manifest.files or not manifest.weights.endswith(".safetensors"):
        raise ValueError(f"{folder / NAME} names no file of weights; export the model again")
    return manifest


def _typed(content: dict[str, Any], path: Path) -> Manifest:
    from pydantic import TypeAdapter, ValidationError

    fields = {key: value for key, value in content.items() if key not in ("format", "version", "seal")}
    odd = sorted({field.name for field in dataclasses.fields(Manifest)} ^ fields.keys())
    if odd:
        raise ValueError(f"{path} lacks fields or has unknown ones: {odd[0]:.40}; export the model again")
    try:
        manifest: Manifest = TypeAdapter(Manifest).validate_json(json.dumps(fields), strict=True)
    except ValidationError as error:
        raise ValueError(f"{path}: {first_fault(error):.200}; export the model again") from error
    return manifest


def check_target(folder: Path, force: bool, run_id: str | None = None) -> None:
    """Raise ValueError where exporting to `folder` would lose something: it is neither empty nor an export of the same
    run or, under `force`, of any run. A link to a folder is refused too, as the export would replace the link."""
    if kind(folder) is None:
        check_folder(folder.parent)
        return
    if kind(folder) != "a folder":
        raise ValueError(f"export={folder} is {kind(folder)}; give a folder that is empty or not there yet")
    if not any(folder.iterdir()):
        return
    try:
        content = _content(folder)
    except ValueError as error:
        raise ValueError(f"export={folder} holds other files; give a folder that is empty or not there yet") from error
    files = content.get("files")
    foreign = sorted(_own_contents(folder).keys() - {*(files if isinstance(files, dict) else ()), NAME})
    if isinstance(files, dict) and (folder / CARD).is_file() and describe(folder / CARD) != files.get(CARD):
        foreign.append(f"a {CARD} that was edited")
    if foreign:
        raise ValueError(f"export={folder} holds {foreign[0]}, which is not of the exported model; move it away")
    owner = content.get("run_id")
    if not force and (owner is None or owner != run_id):
        model = "an exported model" if owner is None else f"the exported model of {owner}"
        raise ValueError(f"export={folder} holds {model}; give another folder, or force=true to replace it")


def _content(folder: Path) -> dict[str, Any]:
    path = folder / NAME
    if not path.is_file():
        raise ValueError(f"{folder} is no exported model: it has no {NAME}; give a folder that export=DIR wrote")
    content = read_json(path)
    if content.get("format") != FORMAT:
        raise ValueError(f"{path} is not of dsee-bench; give a folder that export=DIR wrote")
    if content.get("version") != VERSION or content["version"] is True:
        raise ValueError(f"{path} has version {content.get('version')}, this release reads {VERSION}; export it again")
    if content.get("seal") != seal(content):
        raise ValueError(f"{path} was changed after it was written: its seal is broken; export the model again")
    return content


def _check(folder: Path, name: str, expected: FileSum) -> None:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != name or "\0" in name or name in (".", NAME):
        raise ValueError(f"{folder / NAME} names {name!r}, which lies outside the folder; it was not written by us")
    path = folder / name
    if any(kind(folder / parent) == "a symbolic link" for parent in [pure, *pure.parents][:-1]):
        raise ValueError(f"{path} is a symbolic link or in one; copy the files themselves, or export the model again")
    if kind(path) != "a file":
        raise ValueError(f"{path} is missing; copy the whole folder, or export the model again")
    if path.stat().st_size != expected["bytes"]:
        raise ValueError(
            f"{path} has {path.stat().st_size} bytes, not {expected['bytes']}: cut off or changed; copy it again"
        )
    if describe(path) != expected:
        raise ValueError(f"{path} was changed after it was exported: its sha256 is another; copy it again")


def describe(path: Path) -> FileSum:
    """Return the size and the checksum of a file."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def seal(content: dict[str, Any]) -> str:
    """Return the sha256 of the manifest without the seal itself."""
    rest = {key: value for key, value in content.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
