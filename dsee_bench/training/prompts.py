"""Tokens of a prompt and of the text that goes on from it.

A prompt stands as it is tokenized alone, after the token that the tokenizer itself begins a text with, if any (as
Llama's <s>). A space comes before the text, unless the prompt ends in white space; the end-of-text token comes after
it. What is too long loses the middle of its prompt: the start says what to do, and the text goes on from the end. With
task.truncate=tail it loses the start.
"""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from dsee_bench.tasks.arrow import Columns
from dsee_bench.tasks.example import Truncate
from dsee_bench.tasks.generation import Completion

NO_LOSS = -100  # the label of a token that is not learned, as torch's cross-entropy has it
Ids = list[int]


def encode_continuations(
    examples: Sequence[Completion],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    truncate: Truncate | None = None,
) -> Columns:
    """Return rows of start, prompt, text and end, with labels on the text and its end; the prompt is cut to fit."""
    start = start_ids(tokenizer)
    prompts = plain_ids([example.context for example in examples], tokenizer)
    texts = _following(examples, prompts, tokenizer)
    columns: dict[str, list[Any]] = {"input_ids": [], "attention_mask": [], "labels": [], "cut": []}
    for prompt, text in zip(prompts, texts, strict=True):
        learned = [*text, tokenizer.eos_token_id][: max_length - len(start) - 1]
        before = [*start, *fitted(prompt, max_length - len(start) - len(learned), truncate)]
        columns["input_ids"].append([*before, *learned])
        columns["attention_mask"].append([1] * (len(before) + len(learned)))
        columns["labels"].append([NO_LOSS] * len(before) + learned)
        columns["cut"].append(int(len(start) + len(prompt) + len(text) + 1 > max_length))
    return columns


def continued_prompts(
    contexts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int, truncate: Truncate | None = None
) -> list[Ids]:
    """Return the tokens of prompts, cut to fit."""
    start = start_ids(tokenizer)
    room = max_length - len(start)
    return [[*start, *fitted(ids, room, truncate)] for ids in plain_ids(contexts, tokenizer)]


def fitted(ids: Sequence[int], room: int, truncate: Truncate | None = None) -> Ids:
    """Return `room` tokens at most: as many from the start as from the end, or with `tail` those at the end."""
    if truncate == "tail":
        return list(ids[max(len(ids) - room, 0) :])
    return list(ids) if len(ids) <= room else [*ids[: (room + 1) // 2], *ids[len(ids) - room // 2 :]]


def start_ids(tokenizer: PreTrainedTokenizerBase) -> Ids:
    """Return the tokens that the tokenizer puts before a text."""
    whole, plain = tokenizer("a")["input_ids"], tokenizer("a", add_special_tokens=False)["input_ids"]
    before = len(whole) - len(plain)
    return list(whole[:before]) if whole[before:] == plain else []


def plain_ids(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[Ids]:
    """Return the tokens of texts, without any that the tokenizer adds."""
    return tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []


def _following(examples: Sequence[Completion], prompts: Sequence[Ids], tokenizer: PreTrainedTokenizerBase) -> list[Ids]:
    """Return the tokens of each text as they follow its prompt.

    The two are tokenized together, since some tokenizers begin every text with a space of their own. Where the prompt
    has other tokens then, the text is tokenized alone.
    """
    after = ["" if example.context[-1:].isspace() else " " for example in examples]
    texts = [space + example.text for space, example in zip(after, examples, strict=True)]
    together = plain_ids([example.context + text for example, text in zip(examples, texts, strict=True)], tokenizer)
    alone = plain_ids(texts, tokenizer)
    return [
        whole[len(prompt) :] if whole[: len(prompt)] == prompt else text
        for whole, prompt, text in zip(together, prompts, alone, strict=True)
    ]
