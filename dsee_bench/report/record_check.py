"""What a report needs of a record's free parts (settings, facts of stages, data, how it was made).

`record.read` checks the fields of a record. Inside its free parts anything may stand, and most of it is shown as it is;
where a report computes with a value, or sorts or groups by it, its type is checked here.
"""

import functools
from collections import Counter
from typing import Annotated, Any, get_type_hints

from annotated_types import Ge
from pydantic import AfterValidator, BaseModel, ValidationError, create_model, with_config
from typing_extensions import TypedDict

from dsee_bench.record import Record, first_fault
from dsee_bench.report.records import GROUPS, sparsity_by_site
from dsee_bench.stages.narrow import NarrowReport
from dsee_bench.stages.prune import PruneReport
from dsee_bench.training.job import TuneReport

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
    names += [f"score {score.name} on {score.task} {score.split} after {score.after}" for score in record.retention]
    for name, count in Counter([*names, *(f"cost {cost.name}" for cost in record.costs)]).items():
        if count > 1:
            raise ValueError(f"{name} is recorded {count} times, not once")
    sparsity_by_site(record)


@functools.cache
def _free_parts() -> type[BaseModel]:
    """The free parts of a record; the facts of each stage may have the fields of REPORTS, of their types."""
    hints = {name: kind for report in REPORTS for name, kind in get_type_hints(report, include_extras=True).items()}
    fields: dict[str, Any] = {name: (kind, None) for name, kind in (hints | {"curve": Points, "dev": Points}).items()}
    facts: Any = create_model("Facts", __config__={"strict": True, "extra": "allow"}, **fields)
    return create_model("FreeParts", config=_Config, made_by=_MadeBy, data=dict[str, _Split], stages=list[facts])
