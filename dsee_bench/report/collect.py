"""All records of a results folder and the tables that conf/table makes of them: what every report starts from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsee_bench.config import CONF
from dsee_bench.record import Record
from dsee_bench.report.find import records
from dsee_bench.report.frame import frame
from dsee_bench.report.spec import read_spec, spec_paths
from dsee_bench.report.tables import Table, build


@dataclass(frozen=True)
class Collected:
    records: list[Record]
    tables: list[Table]
    empty: list[str]  # tables in which no finished run belongs
    refused: list[str]  # why a table was refused
    left_out: list[str]  # why a record is in none


def collect(results_dir: Path, names: Sequence[str] = ()) -> Collected:
    """The named tables, or all; a table that mixes what cannot be compared is refused and does not stop the others."""
    usable = records(results_dir)
    if not usable.records and not usable.left_out:
        raise ValueError(f"no record in {results_dir / 'runs'}; run an experiment first, or give --results DIR")
    found = Collected(usable.records, [], [], [], usable.left_out)
    runs = frame(found.records)
    for path in spec_paths(CONF / "table", list(names)):
        try:
            table = build(runs, read_spec(path), path.stem)
        except ValueError as error:
            found.refused.append(str(error))
            continue
        if table is None:
            found.empty.append(path.stem)
        else:
            found.tables.append(table)
    return found
