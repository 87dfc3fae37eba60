"""Records that were read and checked before, so that a report of thousands starts in seconds: `work/records.cache`.

An entry counts only for the very file it was made from (size, times, inode); what keeps it is `record_store.py`. What
stands in many records alike (settings, costs, packages) is kept once.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from dsee_bench import record
from dsee_bench.record import Cost, Deployment, Record, Retained, Score, StageLog
from dsee_bench.report.record_store import Missing, Part, Store
from dsee_bench.report.records import GROUPS, read_usable

FILE = "records.cache"  # in the work folder
LONG = ("curve", "dev", "sparsity_by_site")  # facts of stages that are left out: only figures show them
YOUNG = 0.1  # seconds, some ticks of the kernel: a file changed again within them may look the same
YOUNG_COARSE = 2.0  # where times are whole hundredths of a second: FAT, old network file systems


class RecordCache:
    """The records of one results folder: each is read and checked once, and again when its file has changed.

    `part` is what is wanted of a record: "summary", its state, seed, command and the names that identify it; or
    "rest", all but LONG.
    """

    def __init__(self, results_dir: Path, part: Part = "rest") -> None:
        self._runs = results_dir / "runs"
        self._part = part
        self._store = Store.open(results_dir / "work" / FILE)
        self._shared: dict[int, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close({path.stem for path in record.paths(self._runs.parent)})

    def read(self, path: Path) -> Record:
        """Return the record at `path`; ValueError as from `read_usable`."""
        before = _identity(path)
        with suppress(Missing):
            return self._record(json.loads(self._store.get(path.stem, before, self._part)))
        read = read_usable(path)
        summary, rest = _summary(read), _rest(read, self._share)
        if before is not None and before == _identity(path) and _settled(path):
            self._store.put(path.stem, before, summary, rest)
        return self._record(rest if self._part == "rest" else summary)

    def _record(self, content: dict[str, Any]) -> Record:
        if self._part == "summary":
            return Record(**content)
        shared = {**content, "costs": tuple(map(self._cost, content["costs"]))}
        for field in ("config", "made_by", "data"):
            shared[field] = {key: self._value(value) for key, value in content[field].items()}
        shared["recipe"] = self._value(content["recipe"])
        shared["scores"] = tuple(Score(**score) for score in content["scores"])
        shared["engines"] = tuple(map(_deployment, content["engines"]))
        shared["retention"] = tuple(Retained(**score) for score in content["retention"])
        shared["stages"] = tuple(StageLog(*stage) for stage in content["stages"])
        return Record(**shared)

    def _share(self, value: object) -> int:
        number = self._store.share(value)
        self._shared.setdefault(number, value)
        return number

    def _value(self, value: Any) -> Any:
        """A value as it was: one that is kept once stands as a list of its number."""
        if not isinstance(value, list):
            return value
        (number,) = value
        if number not in self._shared:
            self._shared[number] = json.loads(self._store.shared(number))
        return self._shared[number]

    def _cost(self, number: int) -> Cost:
        cost = self._value([number])
        if not isinstance(cost, Cost):
            cost = self._shared[number] = Cost(**cost)
        return cost


def _identity(path: Path) -> str | None:
    """What a changed file cannot keep: any write or exchange of it sets a time that no program can set."""
    try:
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _settled(path: Path) -> bool:
    """Whether the file is so old that its next change will have another time."""
    status = path.stat()
    coarse = status.st_ctime_ns % 10**7 == 0
    return time.time() - max(status.st_mtime, status.st_ctime) > (YOUNG_COARSE if coarse else YOUNG)


def _deployment(content: dict[str, Any]) -> Deployment:
    pairs = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
    return Deployment(**content | pairs | {"scores": tuple(Score(**score) for score in content["scores"])})


def _summary(read: Record) -> dict[str, Any]:
    """The fields of a Record that `dsee-report status` looks at."""
    config: dict[str, Any] = {
        group: {"name": read.config[group].get("name")} for group in GROUPS if group in read.config
    }
    if "seed" in read.config:
        config["seed"] = read.config["seed"]
    error = (read.error or "").strip().splitlines()[-1:]
    made_by = {"command": read.made_by.get("command", "")} if read.status != "finished" else {}  # to run it again
    fields = {"run_id": read.run_id, "status": read.status, "config": config, "made_by": made_by}
    return {**fields, "error": error[0] if error else None}


def _rest(read: Record, share: Callable[[object], int]) -> dict[str, Any]:
    """The fields of a Record without LONG; what others may have too stands as a list of the number `share` gave it."""

    def once(value: object) -> object:
        return [share(value)] if isinstance(value, dict | list) else value

    fields = dict(vars(read))
    for name in ("config", "made_by", "data"):
        fields[name] = {key: once(value) for key, value in fields[name].items()}
    fields["recipe"] = once(read.recipe)
    fields["scores"] = [vars(score) for score in read.scores]
    fields["retention"] = [vars(score) for score in read.retention]
    fields["costs"] = [share(vars(cost)) for cost in read.costs]
    fields["engines"] = [asdict(deployment) for deployment in read.engines]
    fields["stages"] = [list(vars(stage).values()) for stage in map(_short, read.stages)]
    return fields


def _short(stage: StageLog) -> StageLog:
    return replace(stage, facts={name: value for name, value in stage.facts.items() if name not in LONG})
