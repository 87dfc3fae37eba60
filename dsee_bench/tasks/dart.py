"""DART v1.1.1 (Nan et al. 2021): triples from tables, WebNLG and E2E, and sentences that say them.

Two forms, XML and JSON. The context is `subject : relation : object | ...` with the relation in lower case, as LoRA's
authors write it. An entry stays an entry: 938 of the test set's 5,097 repeat the triples of another one, with texts of
their own, and DART's scorer counts each.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from dsee_bench.metrics.nlg import Protocol
from dsee_bench.tasks.generation import DataToText, Form, Generation, Read, linearise, read_json, rows_of
from dsee_bench.tasks.rows import read_rows
from dsee_bench.tasks.webnlg import xml_entries, xml_triples


def _entry(triples: Iterable[Sequence[str]], texts: Iterable[str | None]) -> Generation:
    lowered = ((subject.strip(), relation.strip().lower(), thing.strip()) for subject, relation, thing in triples)
    return Generation(linearise(lowered), tuple((text or "").strip() for text in texts))


def read_xml(files: Sequence[Path], split: str) -> Iterator[Generation]:
    """Read dart-v1.1.1-full-test.xml and its like."""
    for entry in xml_entries(files[0]):
        yield _entry(xml_triples(entry, files[0]), [text.text for text in entry.iterfind("lex")])


def read_release(files: Sequence[Path], split: str) -> Iterator[Generation]:
    """Read dart-v1.1.1-full-dev.json and its like."""
    content: Any = read_json(files[0])
    try:
        for entry in content:
            yield _entry(entry["tripleset"], [text["text"] for text in entry["annotations"]])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{files[0]} is not DART's JSON: {error!r}") from error


def read_hub(files: Sequence[Path], split: str) -> Iterator[Generation]:
    """Read the hub's parquet files."""
    for row in read_rows(files[0]):
        cells: Any = row.cells
        yield _entry(cells["tripleset"], [str(text["text"]) for text in rows_of(cells["annotations"])])


@dataclass(frozen=True)
class Dart(DataToText):
    """See conf/task/dart.yaml."""

    protocol: ClassVar[Protocol] = "dart"
    folders: ClassVar[tuple[str, ...]] = (".", "dart", "v1.1.1", "dart/v1.1.1")
    forms: ClassVar[tuple[Form, ...]] = (
        Form("JSON", {split: f"dart-v1.1.1-full-{split}.json*" for split in ("train", "dev", "test")}, read_release),
        Form("XML", {split: f"dart-v1.1.1-full-{split}.xml" for split in ("train", "dev", "test")}, read_xml),
    )
    read_hub: ClassVar[Read] = staticmethod(read_hub)
