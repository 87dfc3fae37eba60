"""What reports take from the free parts of a record: settings, facts of stages, data, how it was made.

The fields of a record are checked where it is read. Inside these parts anything may stand, and most of it is shown as
it is; but where a report computes with a value, or sorts or groups by it, its type is stated here.
"""

import functools
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge, Le, MinLen
from pydantic import AfterValidator, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from dsee_bench.record import Record, first_fault

GROUPS = ("task", "backbone", "method")  # of settings, whose names say what a run is

Count = Annotated[int, Ge(0)]
Positive = Annotated[int, Ge(1)]
Share = Annotated[float, Ge(0), Le(1)]
_some = with_config({"strict": True, "extra": "allow"})  # of many keys only these


def _point(point: dict[str, float | None]) -> dict[str, float | None]:
    """A step and one value at it."""
    if len(point) != 2 or point.get("step") is None:
        raise ValueError("a point of a curve has a step and one value")
    return point


Points = list[Annotated[dict[str, int | float | None], AfterValidator(_point)]]


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
class _Facts(TypedDict, total=False):
    steps: Count
    curve: Points
    dev: Points
    sparsity_by_site: Annotated[dict[str, Share], MinLen(1)]
    heads: list[list[int]]  # those that stay, by layer
    neurons: list[Count]  # that stay, by layer


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
    stages: list[_Facts]


def check(record: Record) -> None:
    """ValueError naming the first part of the record that a report cannot use."""
    free = {"config": record.config, "made_by": record.made_by, "data": record.data}
    try:
        _adapter().validate_python({**free, "stages": [stage.facts for stage in record.stages]})
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
