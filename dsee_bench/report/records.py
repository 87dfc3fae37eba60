"""The usable records of a results folder, and the path of one by its id.

`record.read` checks the fields of a record. Inside its free parts (settings, facts of stages, data, how it was made)
anything may stand, and most of it is shown as it is; where a report computes with a value, or sorts or groups by it,
its type is checked here.
"""

import functools
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from annotated_types import Ge
from pydantic import AfterValidator, BaseModel, ValidationError, create_model, with_config
from typing_extensions import TypedDict

from dsee_bench.config import nearest
from dsee_bench.config.validate import TARGET, typed
from dsee_bench.models.families import families
from dsee_bench.record import Record, first_fault, paths, read
from dsee_bench.stages.narrow import NarrowReport
from dsee_bench.stages.prune import PruneReport
from dsee_bench.training.job import TuneReport

if TYPE_CHECKING:
    from dsee_bench.models.spec import ModelSpec, Site

GROUPS = ("task", "backbone", "method")  # of settings; their names identify a run

Count = Annotated[int, Ge(0)]
_partial = with_config({"strict": True, "extra": "allow"})  # states only the keys that reports use


def _point(point: dict[str, float | None]) -> dict[str, float | None]:
    if len(point) != 2 or point.get("step") is None:
        raise ValueError("a point of a curve has a step and one value")
    return point


Points = list[Annotated[dict[str, int | float | None], AfterValidator(_point)]]
REPORTS = (TuneReport, PruneReport, NarrowReport)  # of stages, that reports compute with


@_partial
class _Group(TypedDict, total=False):
    name: str


@_partial
class _Config(TypedDict, total=False):
    seed: int
    task: _Group
    backbone: _Group
    method: _Group


@_partial
class _Split(TypedDict, total=False):
    n: Count | None
    sha256: str | None


@_partial
class _MadeBy(TypedDict, total=False):
    command: str
    commit: str | None
    dirty: bool | None
    device: str | None
    seconds: float


@dataclass(frozen=True)
class Usable:
    """The records that reports are made of, and why the others are left out."""

    records: list[Record] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def read_all(results_dir: Path) -> Usable:
    """Read every record that a report can use, and note what is wrong with the others."""
    usable = Usable()
    for path in paths(results_dir):
        try:
            usable.records.append(read_usable(path))
        except ValueError as error:
            usable.left_out.append(f"left out: {error}")
    return usable


def read_usable(path: Path) -> Record:
    """Read the record at `path`; ValueError names the file and the first part that a report cannot use."""
    record = read(path)
    try:
        check(record)
    except ValueError as error:
        raise ValueError(f"{path} cannot be used in a report: {error}") from error
    return record


def find(run: str, results_dir: Path) -> Path:
    """Return the path of the record whose id is `run` or, if there is only one, starts with it."""
    by_id = {path.stem: path for path in paths(results_dir)}
    if run in by_id:
        return by_id[run]
    match [run_id for run_id in by_id if run_id.startswith(run)]:
        case [only]:
            return by_id[only]
        case []:
            raise ValueError(f"no run {run!r} among the {len(by_id)} in {results_dir / 'runs'}{nearest(run, by_id)}")
        case several:
            raise ValueError(f"{run!r} is the start of {len(several)} runs: {', '.join(several[:5])}; give more of it")


def check(record: Record) -> None:
    """Raise ValueError naming the first part of the record that a report cannot use."""
    parts = {"config": record.config, "made_by": record.made_by, "data": record.data}
    try:
        _free_parts().model_validate({**parts, "stages": [stage.facts for stage in record.stages]})
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error
    if record.status == "finished":
        missing = [key for key in ("seed", *GROUPS) if key not in record.config]
        missing += [f"{group}.name" for group in GROUPS if "name" not in record.config.get(group, {"name": ""})]
        if missing:
            raise ValueError(f"its config lacks {', '.join(missing)}")
    names = [f"score {score.name} of {score.split}" for score in record.scores]
    for name, count in Counter([*names, *(f"cost {cost.name}" for cost in record.costs)]).items():
        if count > 1:
            raise ValueError(f"{name} is recorded {count} times, not once")
    sparsity_by_site(record)


def model_spec(record: Record) -> "ModelSpec":
    """Return the untouched model of a run as numbers, from its settings alone; ValueError where these do not say."""
    settings = {key: value for key, value in record.config.get("backbone", {}).items() if key != TARGET}
    family = families().get(str(settings.get("model_type")))
    if family is None:
        raise ValueError(f"its backbone has model_type {settings.get('model_type')!r:.40}, of no family here")
    return typed(family, settings, "backbone").spec(labels=1)  # reports need no head


def sparsity_by_site(record: Record) -> "dict[Site, float] | None":
    """Return the share of zeros that the last pruning stage left in each weight; None if no stage pruned."""
    recorded = [stage.facts["sparsity_by_site"] for stage in record.stages if "sparsity_by_site" in stage.facts]
    if not recorded:
        return None
    sites = {weight.site.path: weight.site for weight in model_spec(record).weights}
    unknown = sorted(recorded[-1].keys() - sites.keys())
    if unknown:
        raise ValueError(f"sparsity_by_site names {unknown[0]!r:.80}, which is no weight of its backbone")
    return {sites[path]: share for path, share in recorded[-1].items()}


@functools.cache
def _free_parts() -> type[BaseModel]:
    """The free parts of a record; the facts of each stage may have the fields of REPORTS, of their types."""
    hints = {name: kind for report in REPORTS for name, kind in get_type_hints(report, include_extras=True).items()}
    fields: dict[str, Any] = {name: (kind, None) for name, kind in (hints | {"curve": Points, "dev": Points}).items()}
    facts: Any = create_model("Facts", __config__={"strict": True, "extra": "allow"}, **fields)
    return create_model("FreeParts", config=_Config, made_by=_MadeBy, data=dict[str, _Split], stages=list[facts])
