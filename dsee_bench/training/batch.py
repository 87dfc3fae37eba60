"""From examples to batches: tokens, batches of like length, padding."""

import sys
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import accumulate, chain
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import BatchEncoding, DataCollatorWithPadding, PreTrainedTokenizerBase

from dsee_bench.tasks.arrow import Columns, Stored, batches, mapped
from dsee_bench.tasks.example import Example, Question, Split, Truncate
from dsee_bench.tasks.generation import Completion
from dsee_bench.training.blocks import Block, encode_blocks
from dsee_bench.training.prompts import NO_LOSS, continued_prompts, encode_continuations, plain_ids
from dsee_bench.training.truncation import encode_cut

# input_ids, attention_mask, token_type_ids where the model has them, labels; of a question those of all its choices,
# one after the other, and the number of tokens of each as "choices".
Row = dict[str, Any]
POOL = 50  # batches whose rows are sorted by length together


class Rows(Stored[Row]):
    """Encoded examples on disk; `cut` is how many of them were cut to fit."""

    def __init__(self, dataset: Any, cut: int = 0) -> None:
        super().__init__(dataset)
        self.cut = cut

    def item(self, row: Row) -> Row:
        return row

    @cached_property
    def lengths(self) -> list[int]:
        """The tokens of each row; of a question those of its longest choice."""
        import pyarrow.compute as pc

        if self.widest:
            return [max(lengths) for lengths in self.dataset["choices"][:]]
        return pc.list_value_length(self.dataset.data["input_ids"]).to_pylist()

    @cached_property
    def widest(self) -> int:
        """The most choices of a question; 0 for rows without choices."""
        if "choices" not in self.dataset.column_names:
            return 0
        return int(max(map(len, self.dataset["choices"][:]))) if len(self) else 0


def encode_split(
    split: Split[Any],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    first: int | None = None,
    truncate: Truncate | None = None,
) -> Rows:
    """Encode the first examples of a split, or all. The split keeps the rows: each tuning needs them again."""
    key = (tokenizer, max_length, len(split) if first is None else min(first, len(split)), truncate)
    if key not in split.encoded:
        split.encoded[key] = encode(split.examples[:first], tokenizer, max_length, truncate)
    return split.encoded[key]


def encode(
    examples: Sequence[Example] | Sequence[Question] | Sequence[Completion] | Sequence[Block],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    truncate: Truncate | None = None,  # None: texts with a label as the tokenizer does, most by head
) -> Rows:
    """Return one row an example, cut to `max_length` tokens and not padded.

    The longer text of a pair is cut first, and the context or the prompt of a text that is to be written.
    """
    encode_batch: Any = partial(_encode_texts, truncate=truncate)
    if isinstance(examples[0], Question):
        encode_batch = partial(_encode_questions, truncate=truncate)
    elif isinstance(examples[0], Block):
        encode_batch = encode_blocks
    elif isinstance(examples[0], Completion):
        encode_batch = _encode_completions
        if examples[0].continued:
            encode_batch = partial(encode_continuations, truncate=truncate)
    dataset = mapped(encode_batch(batch, tokenizer, max_length) for batch in batches(examples))
    return Rows(dataset.remove_columns("cut"), cut=sum(dataset["cut"][:]))


def prompts(
    contexts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    *,
    continued: bool = False,
    truncate: Truncate | None = None,
) -> list[list[int]]:
    """Return the tokens before a text to write, cut to fit: a prompt's, or a context's and the end-of-text token."""
    if continued:
        return continued_prompts(contexts, tokenizer, max_length, truncate)
    end = tokenizer.eos_token_id
    return [[*ids[: max_length - 1], end] for ids in plain_ids(contexts, tokenizer)]


def cut_prompts(
    contexts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int, *, continued: bool = False
) -> int:
    """Count the contexts that `prompts` cuts."""
    whole = prompts(contexts, tokenizer, sys.maxsize, continued=continued)
    return sum(len(ids) > max_length for ids in whole)


def _encode_completions(examples: Sequence[Completion], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Columns:
    """ids(context) [end] ids(" " + text) [end], the layout of LoRA's authors; labels on the text and its end only."""
    contexts = plain_ids([example.context for example in examples], tokenizer)
    texts = plain_ids([" " + example.text for example in examples], tokenizer)
    end = tokenizer.eos_token_id
    columns: dict[str, list[Any]] = {"input_ids": [], "attention_mask": [], "labels": [], "cut": []}
    for context, text in zip(contexts, texts, strict=True):
        learned = [*text, end][: max_length - 1]
        prompt = [*context[: max_length - 1 - len(learned)], end]
        row = [*prompt, *learned]
        columns["input_ids"].append(row)
        columns["attention_mask"].append([1] * len(row))
        columns["labels"].append([NO_LOSS] * len(prompt) + learned)
        columns["cut"].append(int(len(context) + len(text) + 2 > max_length))
    return columns


def _encode_texts(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int, truncate: Truncate | None
) -> Columns:
    first = [example.texts[0] for example in examples]
    second = [example.texts[1] for example in examples] if len(examples[0].texts) == 2 else None
    encoded, cut = _encoded(first, second, tokenizer, max_length, truncate)
    labels = [example.label for example in examples]
    if isinstance(labels[0], tuple):  # of several labels the loss takes shares
        labels = [tuple(map(float, label)) for label in labels]  # type: ignore[arg-type]
    return {**encoded, **({} if labels[0] is None else {"labels": labels}), "cut": cut}


def _encoded(
    first: list[str],
    second: list[str] | None,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    truncate: Truncate | None,
) -> tuple[Any, list[int]]:
    """Return the encoding of texts or pairs, and for each 1 where it was cut."""
    encoded, cut = (
        _native(first, second, tokenizer, max_length)
        if truncate is None
        else encode_cut(first, second, tokenizer, max_length, truncate)
    )
    return encoded, [int(was_cut) for was_cut in cut]


def _encode_questions(
    examples: Sequence[Question], tokenizer: PreTrainedTokenizerBase, max_length: int, truncate: Truncate | None
) -> Columns:
    """Return a row a question: each context with its choice as a pair, one after the other."""
    first = [context for example in examples for context in example.contexts]
    second = [choice for example in examples for choice in example.choices]
    encoded, was_cut = _encoded(first, second, tokenizer, max_length, truncate)
    ends = list(accumulate(len(example.choices) for example in examples))
    parts = list(zip([0, *ends], ends, strict=False))
    columns: dict[str, list[Any]] = {
        name: [list(chain(*values[start:end])) for start, end in parts] for name, values in encoded.items()
    }
    columns["choices"] = [[len(ids) for ids in encoded["input_ids"][start:end]] for start, end in parts]
    columns["cut"] = [int(any(was_cut[start:end])) for start, end in parts]
    labels = [example.label for example in examples]
    return columns if labels[0] is None else {**columns, "labels": labels}


def _native(
    first: list[str], second: list[str] | None, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[Any, list[bool]]:
    """Return texts or pairs encoded as the tokenizer cuts by itself, and which of them were cut."""
    encoded = tokenizer(first, second, truncation=True, max_length=max_length)
    if encoded.encodings is not None:
        return encoded, [bool(encoding.overflowing) for encoding in encoded.encodings]
    whole = tokenizer(first, second)["input_ids"]  # a tokenizer in Python does not say what it cut
    return encoded, [len(ids) > len(row) for ids, row in zip(whole, encoded["input_ids"], strict=True)]


class _Ordered(Dataset[Any]):
    """Rows in the order of `order`, indices of `rows`."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.order = sorted(range(len(rows)), key=lambda row: -rows.lengths[row])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[self.order[index]]

    def __getitems__(self, indices: Sequence[int]) -> list[Row]:
        """Return the rows of a batch, which torch's DataLoader asks for at once."""
        return self.rows.take([self.order[index] for index in indices])


class GroupedByLength(_Ordered):
    """Rows in an order that a sequential sampler reads as shuffled batches of like length, anew each epoch.

    The order depends on the seed and the epoch alone, so a resumed run sees the batches it would have seen
    (transformers' own grouping takes its order from the global random state).

    In batches of 8 of GPT-2's tokens the padding is 1.2 % in E2E and 2.7 % in WebNLG (27 % and 47 % in random order).
    Packing texts into full rows could save no more than that, and would change what a step sees (results/LOG.md).
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int) -> None:
        super().__init__(rows)
        self.batch_size, self.seed = batch_size, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        shuffled = torch.randperm(len(self.rows), generator=generator).tolist()
        pool = POOL * self.batch_size
        batches: list[list[int]] = []
        for start in range(0, len(shuffled), pool):
            by_length = sorted(shuffled[start : start + pool], key=lambda row: -self.rows.lengths[row])
            batches += [by_length[at : at + self.batch_size] for at in range(0, len(by_length), self.batch_size)]
        # A short batch anywhere but at the end would shift all rows after it into other batches.
        full, short = batches[:-1], batches[-1:]
        mixed = torch.randperm(len(full), generator=generator).tolist()
        self.order = [row for batch in [*(full[at] for at in mixed), *short] for row in batch]


class SortedByLength(_Ordered):
    """Rows from the longest to the shortest, for scoring; `restore` puts answers back into the rows' own order."""

    def restore(self, answers: Sequence[Any]) -> list[Any]:
        """Return answers in the order of `rows`; they come in the order of this data set."""
        restored: list[Any] = [None] * len(self.rows)
        for row, answer in zip(self.order, answers, strict=True):
            restored[row] = answer
        return restored


def are_tokens(labels: Any) -> bool:
    """Return whether labels are tokens to learn, and neither a class nor shares of several labels."""
    return isinstance(labels, list) and not isinstance(labels[0], float)


def collator(tokenizer: PreTrainedTokenizerBase, *data: Rows) -> Callable[[Sequence[Row]], BatchEncoding]:
    """Return a function that pads each batch to its longest row.

    Of questions it is the longest choice, and the mask "choices" is as wide as the most choices in `data`.
    """
    widest = max((rows.widest for rows in data), default=0)
    plain = DataCollatorWithPadding(tokenizer)
    fills = {"input_ids": tokenizer.pad_token_id, "attention_mask": 0, "labels": NO_LOSS}

    def pad(rows: Sequence[Row]) -> BatchEncoding:
        if "choices" in rows[0]:
            return _padded_choices(rows, plain, widest)
        if not are_tokens(rows[0].get("labels")):
            return plain(list(rows))
        # On the right whatever the tokenizer does for decoding: GPT-2 counts a row's positions from its first token.
        longest = max(len(row["input_ids"]) for row in rows)
        padded = {
            name: torch.tensor([row[name] + [fill] * (longest - len(row[name])) for row in rows])
            for name, fill in fills.items()
        }
        return BatchEncoding(padded)

    return pad


def _padded_choices(rows: Sequence[Row], pad: Callable[[list[Row]], BatchEncoding], widest: int) -> BatchEncoding:
    """Return the choices of all rows, padded, and 1 for each choice of each row."""
    counts = [len(row["choices"]) for row in rows]
    width = max(widest, *counts)
    mask = torch.tensor([[1] * count + [0] * (width - count) for count in counts])
    # The number of questions comes first: Trainer takes the size of the batch from the first tensor.
    first = {"choices": mask} | (
        {"labels": torch.tensor([row["labels"] for row in rows])} if "labels" in rows[0] else {}
    )
    return BatchEncoding({**first, **pad([choice for row in rows for choice in _choices_of(row)])})


def _choices_of(row: Row) -> list[Row]:
    """Return a row for each choice of a question."""
    ends = list(accumulate(row["choices"]))
    names = [name for name in row if name not in ("choices", "labels")]
    return [{name: row[name][start:end] for name in names} for start, end in zip([0, *ends], ends, strict=False)]
