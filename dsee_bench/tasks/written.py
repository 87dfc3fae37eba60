"""What a table task of a language model has of its own: prompts with texts to write, or running text to read.

kind: generation          prompt and target (templates), references, group, answer_pattern, decode
kind: language_modeling   texts (one column), separator
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dsee_bench import metrics
from dsee_bench.metrics import nlg
from dsee_bench.tasks import scoring, totto
from dsee_bench.tasks.example import Example
from dsee_bench.tasks.generation import Generation
from dsee_bench.tasks.rows import Row
from dsee_bench.tasks.template import Template, escaped, texts_at
from dsee_bench.tasks.text_to_text import Prompting, read_prompts

if TYPE_CHECKING:
    from dsee_bench.tasks.table import Table

OF_GENERATION = ("prompt", "target", "references", "group", "answer_pattern", "linearize", "decode")
OF_RUNNING_TEXT = ("separator",)
METRICS = {"generation": ("rouge1", "rouge2", "rougeL"), "language_modeling": ("perplexity", "word_perplexity")}


def own(table: "Table") -> dict[str, Any]:
    """Return the settings of language models as the task has them: those of another kind are null."""
    made = dict.fromkeys((*OF_GENERATION, *OF_RUNNING_TEXT))
    if table.kind == "language_modeling":
        made["separator"] = table.separator and escaped(table.separator)
    if table.kind == "generation":
        made |= {name: getattr(table, name) for name in OF_GENERATION}
        made["group"] = table.group or None
        if table.decode is not None and table.decode.splits is None:
            made["decode"] = replace(table.decode, splits=("dev" if table.split.test is None else "test",))
    return made


def check(table: "Table") -> None:
    """Raise ValueError unless the settings can be those of a task of its kind."""
    if table.labels:
        raise ValueError(f"labels must be null for {table.kind}, got {list(table.labels)}")
    if table.truncate is not None and (table.kind == "language_modeling" or table.truncate == "head"):
        why = {
            "language_modeling": "running text is cut into blocks, of which none is too long",
            "generation": "a text goes on from the end of its prompt; take tail, or null, which keeps start and end",
        }
        raise ValueError(f"truncate={table.truncate} does not go with {table.kind}: {why[table.kind]}")
    if table.kind == "language_modeling":
        if len(table.texts) != 1:
            raise ValueError(f"texts must name the one column of the text, got {list(table.texts)}")
        metrics.check(table.metrics, kind=table.kind, classes=None)
        return
    _prompting(table)
    nlg.check(protocol(table), table.metrics)
    if table.decode is None:
        raise ValueError("decode is not given; kind=generation searches by it, see conf/base/table.yaml")
    if table.answer_pattern is not None:
        try:
            re.compile(table.answer_pattern)
        except re.error as error:
            raise ValueError(f"answer_pattern={table.answer_pattern!r} is no regular expression: {error}") from error


def protocol(table: "Table") -> nlg.Protocol:
    """Return how texts are scored: whole, or by the answers that a pattern finds in them."""
    return "text" if table.answer_pattern is None else "answer"


def columns(table: "Table") -> tuple[str, ...]:
    """Return the columns, or dotted paths, that a prompt or a text is made of."""
    return table.texts if table.kind == "language_modeling" else _prompting(table).prompt.paths


def _prompting(table: "Table") -> Prompting:
    if table.prompt is None:
        raise ValueError("prompt is not given; write it with the columns in braces, as in 'summarize: {document} ->'")
    target = None if table.target is None else Template(table.target)
    return Prompting(Template(table.prompt), target, table.references, bool(table.group))


def examples(table: "Table", split: str, rows: Iterable[Row]) -> Iterator[Generation | Example]:
    """Yield the examples of a split: prompts with their texts, or running text row by row."""
    if table.kind == "language_modeling":
        yield from (_passage(row, table.texts[0], table.separator) for row in rows)
        return
    if table.linearize is not None:
        rows = map(totto.with_line, rows)
    for example in read_prompts(rows, split, _prompting(table)):
        if table.answer_pattern is not None:
            scoring.answers_in(table.answer_pattern, example)  # ValueError for a text without one
        yield example


def _passage(row: Row, column: str, separator: str | None) -> Example:
    """Return the text of a row. Where rows are lines, a line feed at its end and the white space of a blank one go."""
    texts = texts_at(row, column)
    if len(texts) != 1:
        raise ValueError(f"{row.where}: expected one text in {column!r}, found {len(texts)}")
    line = separator is not None and separator.startswith("\n")
    text = texts[0].removesuffix("\n") if line else texts[0]
    return Example(("" if line and text.isspace() else text,), None)
