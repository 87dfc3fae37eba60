"""What the page shows of a record once it is opened: packed, so that thousands of records fit into one file.

Records are packed by the hundred: JSON, compressed, in base64. Few packs lie in the page itself; many lie next to it as
scripts, since a page opened from disk may load a script but not read a file.
"""

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dsee_bench.record import Record
from dsee_bench.report.terminal import number, short_facts
from dsee_bench.system.files import write_atomically

PACK = 100  # records
INSIDE = 3_000_000  # characters; more packs than that lie next to the page
FOLDER = "page-records"


def packs(records: Sequence[Record]) -> Iterator[str]:
    """Yield PACK records each, in their order."""
    for start in range(0, len(records), PACK):
        yield packed({record.run_id: _details(record) for record in records[start : start + PACK]})


def packed(content: object) -> str:
    """Return JSON, compressed and in base64: no text in it can close an element of the page."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), mtime=0)).decode("ascii")


def place(found: Sequence[str], results_dir: Path) -> Mapping[str, str]:
    """Return the packs that go into the page, by number; write the others, or remove those of an earlier page."""
    inside = sum(map(len, found)) <= INSIDE
    written = set()
    for place, text in enumerate([] if inside else found):
        path = results_dir / FOLDER / f"{place}.js"
        write_atomically(path, f'dseeRecords({place}, "{text}");\n')
        written.add(path.name)
    _remove_others(results_dir / FOLDER, written)
    return {str(place): text for place, text in enumerate(found)} if inside else {}


def _remove_others(folder: Path, written: set[str]) -> None:
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        if re.fullmatch(r"\d+\.js", path.name) and path.name not in written:
            path.unlink()
    with suppress(OSError):  # not empty
        folder.rmdir()


def _details(record: Record) -> dict[str, Any]:
    """The record with numbers as text, without the curves and maps that the figures show."""
    return {
        "command": record.made_by.get("command", ""),
        "error": record.error,
        "scores": [vars(score) | {"value": number(score.value)} for score in record.scores],
        "retention": [vars(score) | {"value": number(score.value)} for score in record.retention],
        "costs": [vars(cost) | {"value": number(cost.value)} for cost in record.costs],
        "stages": [{"name": s.name, "seconds": f"{s.seconds:.1f}"} | short_facts(s.facts) for s in record.stages],
        "data": [{"split": name} | split for name, split in record.data.items()],
        "config": record.config,
        "made_by": record.made_by,
    }
