"""Records: one JSON file a run with its settings, results and provenance.

A record is written atomically (a temporary file, flushed to disk, then renamed), so a reader sees the old file or the
new one, never half of one. A number that could not be computed is None, with the reason in the next field.
"""

import functools
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from dsee_bench.config.validate import check_targets, leaves, shown
from dsee_bench.system import secrets
from dsee_bench.system.files import file_name, write_atomically

SCHEMA = 2
LARGEST_FILE = 64 * 2**20  # bytes; a record of a long run with all its curves has some 100 kB
LARGEST_NUMBER = 1e60  # above every float32, so a loss fits; and its fourth power is finite, as statistics need it
_EXPONENT = re.compile(rb"[eE]\+?\d+[\s,\]}]")  # ends a number as large as 1e9
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
STRICT: Any = {"extra": "forbid", "strict": True}  # pydantic: what is read has these fields, of these types

Status = Literal["finished", "failed", "interrupted"]


@dataclass(frozen=True)
class Score:
    """One metric's value on one split."""

    __pydantic_config__: ClassVar[Any] = STRICT
    name: str
    value: int | float | None
    unit: str  # "0-1", "-1-1", "0-100", ...
    better: Literal["higher", "lower"]
    split: str
    n: int  # examples scored
    signature: str  # implementation, version and settings
    reason: str | None = None  # why value is None, or why it is 0 whatever the output


@dataclass(frozen=True)
class Retained:
    """The score of a run's model on another task (`evaluate_on`), at one moment of the run."""

    __pydantic_config__: ClassVar[Any] = STRICT
    task: str
    after: str | None  # the stage; None: the untouched model
    split: str
    name: str  # of the metric
    value: int | float | None
    unit: str
    better: Literal["higher", "lower"]
    n: int  # examples scored
    signature: str
    sha256: str  # over the examples
    reason: str | None = None  # why value is None


@dataclass(frozen=True)
class Cost:
    """One cost of the run's final model."""

    __pydantic_config__: ClassVar[Any] = STRICT
    name: str
    value: int | float | None
    unit: str
    counts: str  # what it counts, and what it leaves out


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The final model on one engine: timed in turn with the untouched model there, and scored again."""

    __pydantic_config__: ClassVar[Any] = STRICT
    engine: str
    reason: str | None = None  # why the engine could not take the model; None: it did, and all numbers are there
    machine: dict[str, Any] = field(default_factory=dict)  # device, isa, threads, packages
    precision: str | None = None  # what it multiplies in: fp32, fp16, int8
    note: str | None = None  # how the model was prepared
    batch: int | None = None
    tokens: int | None = None  # of each row
    latency_ms: float | None = None  # median of one forward pass
    latency_dense_ms: float | None = None  # of the untouched model
    quartiles_ms: tuple[float, float] | None = None
    quartiles_dense_ms: tuple[float, float] | None = None
    ratio: float | None = None  # median over the rounds of the final model's time / the untouched one's
    interval: tuple[float, float] | None = None  # 95 %, of the ratio
    rounds: int | None = None
    seconds: float | None = None  # that the timing took
    noisy: str | None = None  # why the interval is wider than ± 2 %
    bytes: int | None = None  # of the weights as the engine takes them
    dense_bytes: int | None = None
    scores: tuple[Score, ...] = ()  # of the model on this engine
    unscored: str | None = None  # why it has none

    @property
    def setting(self) -> str:
        """What a time is of, in words: the same text for what may be compared."""
        where = self.machine
        packages = ", ".join(f"{package} {release}" for package, release in where["packages"].items())
        return (
            f"{where['device']} ({where['isa']}), {where['threads']} threads, {self.batch} x {self.tokens} tokens, "
            f"{self.precision}, {packages}"
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """Base of what stages report: each stage has its own, with fields of plain values."""

    reused: bool = False  # the stage's work was taken from the cache

    def facts(self) -> dict[str, Any]:
        """Return the fields as the record has them; one at its default is left out."""
        values = {item.name: (getattr(self, item.name), item.default) for item in fields(self)}
        return {name: value for name, (value, default) in values.items() if value is not default}


@dataclass(frozen=True)
class StageLog:
    """One stage of a run, and its report."""

    __pydantic_config__: ClassVar[Any] = STRICT
    name: str
    seconds: float  # wall time
    # Bytes of the accelerator during the stage, or of the process until the stage's end; None where not measurable.
    peak_memory: int | None
    facts: dict[str, Any] = field(default_factory=dict)  # the fields of its Report


@dataclass(frozen=True)
class Record:
    """A run, however it ended."""

    __pydantic_config__: ClassVar[Any] = STRICT
    run_id: str
    status: Status
    config: dict[str, Any]  # every resolved setting that changes a result
    made_by: dict[str, Any]  # command, commit, dirty, packages, python, device, threads, started, seconds
    recipe: dict[str, Any] | None = None  # its author and purpose: the fields of recipes.Source
    error: str | None = None  # the traceback of a failed run
    checkpoint: str | None = None  # which weights the scores are of: "best dev", "best validation" or "last"
    scores: tuple[Score, ...] = ()
    costs: tuple[Cost, ...] = ()
    engines: tuple[Deployment, ...] = ()  # of measure_engines; a record without them has no such key
    retention: tuple[Retained, ...] = ()  # of evaluate_on, in the order of the run; the same
    stages: tuple[StageLog, ...] = ()
    data: dict[str, dict[str, Any]] = field(default_factory=dict)  # split -> {n, sha256}
    not_finite: list[str] | None = None  # "place: value" of every number that is null because it was NaN or infinite
    schema: int = SCHEMA

    def with_costs(self, measured: tuple[Cost, ...]) -> "Record":
        """Return the record with these costs, in the place of those of the same names."""
        names = {cost.name for cost in measured}
        return replace(self, costs=(*(cost for cost in self.costs if cost.name not in names), *measured))

    def with_engines(self, measured: tuple[Deployment, ...]) -> "Record":
        """Return the record with these engines, in the place of those of the same names."""
        names = {deployment.engine for deployment in measured}
        return replace(self, engines=(*(old for old in self.engines if old.engine not in names), *measured))

    def with_retention(self, found: Iterable[Retained]) -> "Record":
        """Return the record with these scores on other tasks, in the place of those on the same tasks."""
        scores = tuple(found)
        tasks = {score.task for score in scores}
        return replace(self, retention=(*(score for score in self.retention if score.task not in tasks), *scores))

    def score(self, name: str, split: str = "dev") -> float | None:
        """Return the value of one score, None where it is undefined; KeyError if no such score is recorded."""
        return _only([score.value for score in self.scores if (score.name, score.split) == (name, split)], name)

    def cost(self, name: str) -> float | None:
        """Return the value of one cost; KeyError if no such cost is recorded."""
        return _only([cost.value for cost in self.costs if cost.name == name], name)


def _only(values: list[float | None], name: str) -> float | None:
    if len(values) != 1:
        raise KeyError(f"{name!r} is recorded {len(values)} times, not once")
    return values[0]


def path_of(run_id: str, results_dir: Path) -> Path:
    """Return the path of a run's record; ValueError for an id that is no file name, as "../x"."""
    if run_id != file_name(run_id):
        raise ValueError(f"{run_id!r:.120} is no run id; an id has letters, digits, _, - and dots, 100 at most")
    return results_dir / "runs" / f"{run_id}.json"


def write(record: Record, results_dir: Path) -> Path:
    """Write `results_dir/runs/<run_id>.json` atomically, with secrets starred.

    A NaN or infinity is written as null, and `not_finite` has its place and value.
    """
    content = asdict(record)
    for name in ("engines", "retention"):
        if not content[name]:
            del content[name]
    odd = [f"{place}: {shown(value)}" for place, value in leaves(content) if _is_odd(value)]
    content = _finite(content) | {"not_finite": [*(record.not_finite or []), *sorted(odd)] or None}
    path = path_of(record.run_id, results_dir)
    text = json.dumps(secrets.starred_all(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # Half a surrogate pair, as in the name of a file that is not UTF-8, cannot be written.
    write_atomically(path, text.encode("utf-8", "replace").decode("utf-8"))
    return path


def _is_odd(value: object) -> bool:
    """Whether `value` is a number that no record holds: NaN, infinite, or beyond LARGEST_NUMBER."""
    return isinstance(value, int | float) and not abs(value) <= LARGEST_NUMBER


def _may_be_large(text: bytes) -> bool:
    """Whether a number in a JSON text may be beyond LARGEST_NUMBER; a look at each would take five times as long."""
    return _EXPONENT.search(text) is not None or b"0" * 50 in text.translate(_DIGITS)


def _finite(value: Any) -> Any:
    """`value` with None in the place of every odd number."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if _is_odd(value) else value


def read(path: Path) -> Record:
    """Return the record at `path`; ValueError names the file and the fault if it is no record or of another schema."""
    from pydantic import ValidationError
    from pydantic_core import from_json

    try:
        text = _bytes(path)
        content = from_json(text, allow_inf_nan=False)  # also refuses deep nesting
        if _may_be_large(text) and (odd := [place for place, value in leaves(content) if _is_odd(value)]):
            raise ValueError(f"{odd[0]} is beyond {LARGEST_NUMBER:g}")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a record: {error}; delete it, or repeat its run by force=true") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        schema = repr(content.get("schema") if isinstance(content, dict) else None)
        way_out = "`dsee-report migrate` carries it over" if schema == "1" else "force=true repeats its run"
        raise ValueError(f"{path} has schema {schema:.40}, this version reads {SCHEMA}; {way_out}")
    try:
        check_targets(content.get("config"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    try:
        record: Record = _adapter().validate_json(text)
    except ValidationError as error:
        raise ValueError(f"{path} is not a record of schema {SCHEMA}: {first_fault(error)}") from error
    if record.run_id != path.stem:  # the files of a run go by its name
        raise ValueError(
            f"{path} says that it is the record of {record.run_id!r:.120}; a record's file has the name of its run: "
            "rename it, or delete it"
        )
    path_of(record.run_id, path.parent.parent)
    return record


def first_fault(error: Any) -> str:  # pydantic's ValidationError
    """Return the place and the reason of one fault; a wrong value or key comes before a missing one."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    first = min(faults, key=lambda fault: fault["type"] == "missing")
    place = ".".join(map(str, first["loc"]))
    return f"{place} is missing" if first["type"] == "missing" else f"{place}: {first['msg']}"


@functools.cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Record)


def _bytes(path: Path) -> bytes:
    """The content of a file; ValueError for a pipe or device, which might never end, and for a large file."""
    if not path.is_file():
        raise ValueError("it is no file")
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ValueError(f"it is larger than {LARGEST_FILE / 2**20:.0f} MiB")
    return content


def paths(results_dir: Path) -> list[Path]:
    """Return the paths under `results_dir/runs` that have a record's name, sorted; temporary files have none."""
    folder = results_dir / "runs"
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names) if name.endswith(".json") and not name.startswith(".")]


def read_all(results_dir: Path) -> Iterator[Record]:
    """Yield every record under `results_dir/runs`, by file name; ValueError for one that cannot be read."""
    yield from map(read, paths(results_dir))
