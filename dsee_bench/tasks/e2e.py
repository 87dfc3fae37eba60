"""The E2E NLG challenge (Novikova et al. 2017): restaurants, as attributes and values, and what people say of them.

Three forms: the release's CSV files, the zip they come in, and LoRA's copy, `attributes||text` lines. The context is
the line that LoRA's copy has ("name : Blue Spice | Type : coffee shop | ..."), from whichever form. The copy's texts
are tokenised ("city centre ."); less white space they are the release's, and scores against them are other numbers.
"""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from dsee_bench.metrics.nlg import Protocol
from dsee_bench.system.sources import read_content
from dsee_bench.tasks.generation import DataToText, Form, Generation, Read
from dsee_bench.tasks.rows import read_lines, read_rows

CSV_FILES = {"train": "trainset.csv", "dev": "devset.csv", "test": "testset_w_refs.csv"}
ATTRIBUTE = re.compile(r"\s*([^\[\],]+)\[([^\]]*)\]\s*(?:,|$)")
# LoRA's copy renames three attributes and parts the marks of the one value that has any, as in "£ 20 - 25".
RENAMED = {"eatType": "Type", "priceRange": "price", "familyFriendly": "family friendly"}


def context_of(meaning: str) -> str:
    """Return the line for a meaning like "name[Aromi], eatType[pub]"; a text that is such a line already stays one."""
    if " : " in meaning and "[" not in meaning:
        return " ".join(meaning.split())
    attributes = ATTRIBUTE.findall(meaning)
    if ATTRIBUTE.sub("", meaning).strip() or not attributes:
        raise ValueError(f"expected attributes as in 'name[Aromi], eatType[pub]', found {meaning[:80]!r}")
    named = [(RENAMED.get(name.strip(), name.strip()), _parted(value)) for name, value in attributes]
    return " | ".join(f"{name} : {value}" for name, value in named)


def _parted(value: str) -> str:
    return " ".join(re.sub(r"(£|(?<=\d)-(?=\d))", r" \1 ", value).split())


def grouped(rows: Iterable[tuple[str, str]]) -> list[Generation]:
    """Return one example a context, in the order of their first texts; all texts in order, repeated ones too."""
    texts: dict[str, list[str]] = {}
    for context, text in rows:
        texts.setdefault(context, []).append(text)
    return [Generation(context, tuple(group)) for context, group in texts.items()]


def read_release(files: Sequence[Path], split: str) -> list[Generation]:
    """Read trainset.csv and its like: columns mr and ref, a quoted field may hold a line break."""
    return grouped(_csv_rows(read_content(files[0]), str(files[0])))


def read_zip(files: Sequence[Path], split: str) -> list[Generation]:
    """Read the same files in e2e-dataset.zip, whatever folder of it they are in."""
    try:
        with zipfile.ZipFile(files[0]) as archive:
            members = [name for name in archive.namelist() if PurePosixPath(name).name == CSV_FILES[split]]
            if len(members) != 1:
                raise ValueError(f"{files[0]} should hold {CSV_FILES[split]} once, found {members or 'none'}")
            content = archive.read(members[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: encrypted
        raise ValueError(f"{files[0]} is not a whole zip file: {error}; copy it anew") from error
    return grouped(_csv_rows(content, f"{files[0]}, {members[0]}"))


def _csv_rows(content: bytes, where: str) -> Iterator[tuple[str, str]]:
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = next(reader, [])
        if [name.lower() for name in header] != ["mr", "ref"]:
            raise ValueError(f"{where}: expected the columns mr and ref, found {header}")
        for row in reader:
            if not row:
                continue  # an empty line
            if len(row) != 2:
                raise ValueError(f"{where}, line {reader.line_num}: expected 2 fields (mr, ref), found {len(row)}")
            yield context_of(row[0]), _one_line(row[1])
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: not UTF-8 CSV ({error})") from error


def read_copy(files: Sequence[Path], split: str) -> list[Generation]:
    """Read LoRA's `attributes||text` lines."""

    def rows() -> Iterator[tuple[str, str]]:
        for number, line in read_lines(files[0]):
            context, bar, text = line.partition("||")
            if not bar:
                raise ValueError(f"{files[0]}, line {number}: expected attributes||text, found {line[:80]!r}")
            yield context_of(context), _one_line(text)

    return grouped(rows())


def read_hub(files: Sequence[Path], split: str) -> list[Generation]:
    """Read the hub's parquet files, whose rows are the release's."""
    columns = ("meaning_representation", "human_reference")
    pairs = []
    for row in read_rows(files[0]):
        meaning, text = (row.cells.get(column) for column in columns)
        if not isinstance(meaning, str) or not isinstance(text, str):
            raise ValueError(f"{row.where}: expected texts in {' and '.join(columns)}, found {meaning!r} and {text!r}")
        pairs.append((context_of(meaning), _one_line(text)))
    return grouped(pairs)


def _one_line(text: str) -> str:
    """Return `text` without outer white space and line breaks, which two references of the training set hold."""
    return re.sub(r"\s*[\r\n]+\s*", " ", text.strip())


@dataclass(frozen=True)
class E2E(DataToText):
    """See conf/task/e2e.yaml."""

    protocol: ClassVar[Protocol] = "e2e"
    folders: ClassVar[tuple[str, ...]] = (".", "e2e", "e2e-dataset")
    forms: ClassVar[tuple[Form, ...]] = (
        Form("the release's CSV", CSV_FILES, read_release),
        Form("the release's zip", dict.fromkeys(CSV_FILES, "e2e-dataset.zip"), read_zip),
        Form("LoRA's copy", {"train": "train.txt", "dev": "valid.txt", "test": "test.txt"}, read_copy),
    )
    read_hub: ClassVar[Read] = staticmethod(read_hub)
