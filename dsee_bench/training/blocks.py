"""Blocks of running text: what a language model is trained on and measured by, as transformers' run_clm cuts them.

The texts of a split stand one after the other: each with the token that the tokenizer begins a text with, if any, and
with the end-of-text token after it; or, with a `separator`, with that text between them and nothing else. The stream is
cut every `length` tokens. The last block is shorter: it is kept, where run_clm drops it, unless it has one token alone.
The first token of a block is not predicted, as it has nothing before it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from transformers import PreTrainedTokenizerBase

from dsee_bench.tasks.arrow import Columns, Stored, batches, mapped
from dsee_bench.tasks.example import Example, Split
from dsee_bench.training.prompts import NO_LOSS, plain_ids, start_ids


@dataclass(frozen=True)
class Block:
    """Tokens that a model reads at once."""

    ids: tuple[int, ...]


class Blocks(Stored[Block]):
    """Blocks on disk, and how many words and tokens their texts have."""

    words: int = 0  # between white space
    tokens: int = 0

    def item(self, row: Any) -> Block:
        return Block(tuple(row["ids"]))


def in_blocks(
    split: Split[Example], tokenizer: PreTrainedTokenizerBase, length: int, separator: str | None
) -> Split[Block]:
    """Return a split of texts as blocks of `length` tokens; its checksum stays that of the texts."""
    counts = {"words": 0, "tokens": 0}
    stream = _tokens(split.examples, tokenizer, separator, counts)
    blocks = Blocks(_stored(split.name, _cut(stream, length)))
    blocks.words, blocks.tokens = counts["words"], counts["tokens"]
    return Split(split.name, blocks, split.sha256, split.source, split.files)


def _stored(name: str, blocks: Iterator[list[int]]) -> Any:
    first = next(blocks, None)
    if first is None:
        raise ValueError(f"split {name!r} has less than two tokens of text; there is nothing to predict")
    rest = iter(batches(blocks))
    return mapped({"ids": part} for part in _with_first([first], rest))


def _with_first(first: Any, rest: Iterable[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _tokens(
    texts: Iterable[Example], tokenizer: PreTrainedTokenizerBase, separator: str | None, counts: dict[str, int]
) -> Iterator[int]:
    """Yield the tokens of all texts, and count them and the words."""
    start, end = (start_ids(tokenizer), [tokenizer.eos_token_id]) if separator is None else ([], [])
    for batch in batches(texts):
        passages = [example.texts[0] + (separator or "") for example in batch]
        counts["words"] += sum(len(passage.split()) for passage in passages)
        for ids in plain_ids(passages, tokenizer):
            whole = [*start, *ids, *end]
            counts["tokens"] += len(whole)
            yield from whole


def _cut(tokens: Iterator[int], length: int) -> Iterator[list[int]]:
    while len(block := list(islice(tokens, length))) > 1:
        yield block


def encode_blocks(examples: Sequence[Block], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Columns:
    """Return a row a block, with labels on every token but the first; none is longer than `max_length`."""
    rows = [list(block.ids) for block in examples]
    return {
        "input_ids": rows,
        "attention_mask": [[1] * len(row) for row in rows],
        "labels": [[NO_LOSS, *row[1:]] for row in rows],
        "cut": [0] * len(rows),
    }
