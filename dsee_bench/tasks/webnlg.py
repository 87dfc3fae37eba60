"""The WebNLG challenge 2017 (Gardent et al. 2017): triples from DBpedia, and texts that say them.

Two forms: the release's XML files, and LoRA's JSON, which holds the same entries in the same order. The context is
`subject : property : object | ...` of the modified triples, as they are written. Only texts marked "good" are kept: 77
of the training set and 10 of dev are not, and six entries have no other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

from dsee_bench.metrics.nlg import Protocol
from dsee_bench.tasks.generation import DataToText, Form, Generation, Read, linearise, read_json, rows_of
from dsee_bench.tasks.rows import read_rows

# The categories of the training set; the test set has five more, the "unseen" ones.
SEEN = {
    *("Airport", "Astronaut", "Building", "City", "ComicsCharacter"),
    *("Food", "Monument", "SportsTeam", "University", "WrittenWork"),
}
XML_FILES = {split: f"challenge_data_train_dev/{split}/**/*.xml" for split in ("train", "dev")} | {
    "test": "testdata_with_lex.xml"
}


def is_seen(example: Generation) -> bool:
    """Return whether its category is one of the training set's."""
    return example.category in SEEN


Text = tuple[str | None, str | None]  # its comment, and the text


def _entry(category: str, triples: Iterable[Sequence[str]], texts: Iterable[Text]) -> Generation:
    good = tuple((text or "").strip() for comment, text in texts if comment == "good")
    return Generation(linearise(triples), good, category)


def split_triple(text: str, where: str) -> list[str]:
    """Return the three parts of "subject | property | object"; a bar further on belongs to the object."""
    parts = [part.strip() for part in text.split(" | ", 2)]
    if len(parts) != 3:
        raise ValueError(f"{where}: expected 'subject | property | object', found {text[:100]!r}")
    return parts


def xml_entries(path: Path) -> Iterator[ElementTree.Element]:
    """Yield the <entry> elements of a benchmark file."""
    try:
        yield from ElementTree.parse(path).getroot().iter("entry")
    except (ElementTree.ParseError, LookupError) as error:  # LookupError: of an encoding that is unknown
        raise ValueError(f"{path} is not XML: {error}") from error


def xml_triples(entry: ElementTree.Element, path: Path) -> list[list[str]]:
    """Return the modified triples of an entry of `path`."""
    return [split_triple(triple.text or "", str(path)) for triple in entry.iterfind("modifiedtripleset/mtriple")]


def read_xml(files: Sequence[Path], split: str) -> Iterator[Generation]:
    """Read the release's files, in the order of their paths."""
    for path in files:
        for entry in xml_entries(path):
            texts = [(text.get("comment"), text.text) for text in entry.iterfind("lex")]
            yield _entry(entry.get("category", ""), xml_triples(entry, path), texts)


def read_copy(files: Sequence[Path], split: str) -> Iterator[Generation]:
    """Read LoRA's JSON: {"entries": [{"1": {...}}, {"2": {...}}, ...]}."""
    content: Any = read_json(files[0])
    parts = ("subject", "property", "object")
    try:
        for entry in (entry for numbered in content["entries"] for entry in numbered.values()):
            triples = [[triple[part] for part in parts] for triple in entry["modifiedtripleset"]]
            texts = [(text["comment"], text["lex"]) for text in entry["lexicalisations"]]
            yield _entry(entry["category"], triples, texts)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{files[0]} is not LoRA's WebNLG JSON: {error!r}") from error


def read_hub(files: Sequence[Path], split: str) -> Iterator[Generation]:
    """Read the hub's parquet files, whose test split also holds entries without texts, and the unseen ones again."""
    for row in read_rows(files[0]):
        cells: Mapping[str, Any] = row.cells
        if split == "test" and cells["test_category"] != "testdata_with_lex":
            continue
        (triples,) = (sets["mtriple_set"] for sets in rows_of(cells["modified_triple_sets"]))
        texts = [(str(text["comment"]), str(text["text"])) for text in rows_of(cells["lex"])]
        yield _entry(cells["category"], [split_triple(triple, row.where) for triple in triples], texts)


@dataclass(frozen=True)
class WebNLG(DataToText):
    """See conf/task/webnlg.yaml."""

    protocol: ClassVar[Protocol] = "webnlg"
    folders: ClassVar[tuple[str, ...]] = (".", "webnlg", "2017", "webnlg/2017", "webnlg_challenge_2017")
    forms: ClassVar[tuple[Form, ...]] = (
        Form("the release's XML", XML_FILES, read_xml),
        Form("LoRA's JSON", {split: f"{split}.json*" for split in ("train", "dev", "test")}, read_copy),
    )
    read_hub: ClassVar[Read] = staticmethod(read_hub)
