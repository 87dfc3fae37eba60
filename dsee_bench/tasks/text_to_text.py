"""Text to text from rows: a prompt made by a template, and the texts that should follow it.

Training goes through the texts of `target`. The other splits are scored against `references`, or against the texts of
`target` where there are none.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dsee_bench.tasks.generation import Generation, Prompt
from dsee_bench.tasks.rows import Row
from dsee_bench.tasks.template import Template, has, texts_at

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prompting:
    """How a row becomes a prompt and its texts."""

    prompt: Template
    target: Template | None  # None: training goes through the references
    references: tuple[str, ...] | None  # columns, or dotted paths, of one text or a list each; None: the target's
    group: bool  # rows of one prompt are one example with all their texts

    def __post_init__(self) -> None:
        if self.target is None and self.references is None:
            raise ValueError("neither target nor references is given; say by one of them what text follows a prompt")

    def paths(self, split: str) -> tuple[str, ...]:
        """Return the columns and paths that the texts of a split are read from."""
        template = self.target if split == "train" or self.references is None else None
        if template is not None:
            return template.paths
        return self.references or ()

    def texts(self, row: Row, split: str) -> tuple[str, ...]:
        """Return the texts of a row: what is learned of train, what outputs are scored against elsewhere."""
        if self.target is not None and (split == "train" or self.references is None):
            return self.target.fill_each(row)
        assert self.references is not None  # as __post_init__ holds
        there = [path for path in self.references if has(row, path)] or self.references[:1]
        return tuple(text for path in there for text in texts_at(row, path))


def read_prompts(rows: Iterable[Row], split: str, how: Prompting) -> Iterator[Generation]:
    """Yield an example a row, or one a prompt where rows are grouped.

    A split other than train and dev has no texts if its first row lacks their columns: it is written for, not scored.
    """
    examples = _examples(rows, split, how)
    yield from _grouped(examples) if how.group else examples


def _examples(rows: Iterable[Row], split: str, how: Prompting) -> Iterator[Prompt]:
    labelled, empty = True, 0
    for number, row in enumerate(rows):
        if number == 0 and split not in ("train", "dev"):
            labelled = any(has(row, path) for path in how.paths(split))
        texts = how.texts(row, split) if labelled else ()
        empty += labelled and not texts
        yield Prompt(how.prompt.fill(row), texts)
    if empty:
        logger.warning("%s: %d rows have no text, so they are neither learned nor scored", split, empty)


def _grouped(examples: Iterable[Prompt]) -> list[Prompt]:
    """Return one example a prompt, in the order of their first rows; all texts in order, repeated ones too."""
    texts: dict[str, list[str]] = {}
    for example in examples:
        texts.setdefault(example.context, []).extend(example.references)
    return [Prompt(context, tuple(group)) for context, group in texts.items()]
