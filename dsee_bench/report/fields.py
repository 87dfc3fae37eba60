"""What reports take from the free parts of a record: settings, facts of stages, data, how it was made.

The fields of a record are checked where it is read. Inside these parts anything may stand, and most of it is shown as
it is; but where a report computes with a value, or sorts or groups by it, its type is stated here.
"""

import functools
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, get_type_hints

from annotated_types import Ge
from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError, create_model, with_config
from typing_extensions import TypedDict

from dsee_bench.record import Record, first_fault
from dsee_bench.stages.narrow import NarrowReport
from dsee_bench.stages.prune import PruneReport
from dsee_bench.training.job import TuneReport

GROUPS = ("task", "backbone", "method")  # of settings, whose names say what a run is

Count = Annotated[int, Ge(0)]
Positive = Annotated[int, Ge(1)]
_some = with_config({"strict": True, "extra": "allow"})  # of many keys only these


def _point(point: dict[str, float | None]) -> dict[str, float | None]:
    """Return the point if it has a step and one value at it."""
    if len(point) != 2 or point.get("step") is None:
        raise ValueError("a point of a curve has a step and one value")
    return point


Points = list[Annotated[dict[str, int | float | None], AfterValidator(_point)]]
REPORTS = (TuneReport, PruneReport, NarrowReport)  # of stages, that reports compute with


@_some
class _Group(TypedDict, total=False):
    name: str


@_some
class _Backbone(TypedDict, total=False):
    name: str
    layers: Positive
    heads: Positive
    ffn: Positive
    key_heads: Positive | None


@_some
class _Config(TypedDict, total=False):
    seed: int
    task: _Group
    backbone: _Backbone
    method: _Group


@_some
class _Split(TypedDict, total=False):
    n: Count | None
    sha256: str | None


@_some
class _MadeBy(TypedDict, total=False):
    command: str
    commit: str | None
    dirty: bool | None
    device: str | None
    seconds: float


class _Free(TypedDict):
    config: _Config
    made_by: _MadeBy
    data: dict[str, _Split]


def check(record: Record) -> None:
    """ValueError naming the first part of the record that a report cannot use."""
    free = {"config": record.config, "made_by": record.made_by, "data": record.data}
    try:
        _adapter().validate_python(free)
        _stages().model_validate({"stages": [stage.facts for stage in record.stages]})
    except ValidationError as error:
        raise ValueError(first_fault(error)) from error
    if record.status == "finished":
        lacking = [key for key in ("seed", *GROUPS) if key not in record.config]
        lacking += [f"{group}.name" for group in GROUPS if "name" not in record.config.get(group, {"name": ""})]
        if lacking:
            raise ValueError(f"its config lacks {', '.join(lacking)}")
    scores = Counter(f"score {score.name} of {score.split}" for score in record.scores)
    _once(scores | Counter(f"cost {cost.name}" for cost in record.costs))


def _once(counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        if count > 1:
            raise ValueError(f"{name} is there {count} times")


@functools.cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(_Free)


@functools.cache
def _stages() -> type[BaseModel]:
    """Facts of stages, each of which may have the fields of REPORTS, of their types."""
    types = {name: of for report in REPORTS for name, of in get_type_hints(report, include_extras=True).items()}
    types |= {"curve": Points, "dev": Points}
    fields: dict[str, Any] = {name: (of, None) for name, of in types.items()}
    facts = create_model("Facts", __config__={"strict": True, "extra": "allow"}, **fields)
    return create_model("Stages", stages=(list[facts], ...))  # type: ignore[valid-type]
