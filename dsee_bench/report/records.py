"""The usable records of a results folder, and the path of one by its id. Nothing heavy is imported."""

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dsee_bench.config import nearest
from dsee_bench.config.validate import TARGET, typed
from dsee_bench.record import Record, paths, read

if TYPE_CHECKING:
    from dsee_bench.models.spec import ModelSpec, Site

GROUPS = ("task", "backbone", "method")  # of settings; their names identify a run


@dataclass(frozen=True)
class Usable:
    """The records that reports are made of, and why the others are left out."""

    records: list[Record] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def read_all(results_dir: Path) -> Usable:
    """Read every record that a report can use, and note what is wrong with the others.

    The records lack the curves and maps of their stages (record_cache.LONG): `read_usable` reads one whole.
    """
    from dsee_bench.report.record_cache import RecordCache

    usable = Usable()
    with RecordCache(results_dir) as cache:
        for path in paths(results_dir):
            try:
                usable.records.append(cache.read(path))
            except ValueError as error:
                usable.left_out.append(f"left out: {error}")
    return usable


def read_usable(path: Path) -> Record:
    """Read the record at `path`; ValueError names the file and the first part that a report cannot use."""
    from dsee_bench.report.record_check import check

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


def model_spec(record: Record) -> "ModelSpec":
    """Return the untouched model of a run as numbers, from its settings alone; ValueError where these do not say."""
    settings = {key: value for key, value in record.config.get("backbone", {}).items() if key != TARGET}
    return _model_spec(json.dumps(settings))


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


@functools.lru_cache(maxsize=256)  # thousands of runs share a few backbones
def _model_spec(backbone: str) -> "ModelSpec":
    from dsee_bench.models.families import families

    settings = json.loads(backbone)
    family = families().get(str(settings.get("model_type")))
    if family is None:
        raise ValueError(f"its backbone has model_type {settings.get('model_type')!r:.40}, of no family here")
    return typed(family, settings, "backbone").spec(labels=1)  # reports need no head
