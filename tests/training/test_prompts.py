"""Prompts that a text goes on from: the layout token by token, what is cut, and where the loss falls."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from dsee_bench.tasks.generation import Continuation
from dsee_bench.training.batch import cut_prompts, encode, prompts
from dsee_bench.training.prompts import NO_LOSS, fitted, start_ids

LETTERS = {"<end>": 0, "a": 1, "b": 2, "Ġ": 3, "c": 4, "d": 5, "<s>": 6, "Ċ": 7}  # Ġ is the space, Ċ a line feed
N = NO_LOSS


def made(starts=False):
    inner = Tokenizer(models.BPE(vocab=LETTERS, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if starts:
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 6)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<end>", bos_token="<s>")


@pytest.mark.parametrize(
    ("max_length", "ids", "labels", "why"),
    [
        (7, [1, 2, 1, 2, 3, 4, 0], [N, N, N, N, 3, 4, 0], "prompt, space and text, end: all of it fits"),
        (6, [1, 2, 2, 3, 4, 0], [N, N, N, 3, 4, 0], "the middle of the prompt is cut, not the text"),
        (5, [1, 2, 3, 4, 0], [N, N, 3, 4, 0], "as many from the start as from the end"),
        (3, [1, 3, 4], [N, 3, 4], "a text that is too long alone is cut at its end, and one token of the prompt stays"),
    ],
)
def test_the_layout_of_a_row(max_length, ids, labels, why):
    rows = encode([Continuation("abab", "c")], made(), max_length)
    assert rows[0] == {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}, why
    assert rows.cut == (max_length < 7)


def test_no_space_after_white_space_and_the_tokenizers_own_start():
    (row,) = encode([Continuation("ab\n", "c d")], made(starts=True), 20)
    assert row["input_ids"] == [6, 1, 2, 7, 4, 3, 5, 0]
    assert row["labels"] == [N, N, N, N, 4, 3, 5, 0]
    (row,) = encode([Continuation("abab", "c")], made(starts=True), 6)
    assert row["input_ids"] == [6, 1, 2, 3, 4, 0], "the start is never cut"


@pytest.mark.parametrize("starts", [False, True])
@pytest.mark.parametrize("max_length", [4, 5, 6, 50])
def test_a_prompt_is_the_row_before_its_text(starts, max_length):
    tokenizer = made(starts)
    (ids,) = prompts(["ababdddd"], tokenizer, max_length, continued=True)
    (row,) = encode([Continuation("ababdddd", "c")], tokenizer, max_length + 3)
    assert row["input_ids"][:-3] == ids
    assert len(ids) <= max_length
    assert cut_prompts(["ababdddd", "ab"], tokenizer, max_length, continued=True) == (max_length < 50)


def test_what_is_cut():
    assert fitted([1, 2, 3, 4, 5], 5) == [1, 2, 3, 4, 5]
    assert fitted([1, 2, 3, 4, 5], 4) == [1, 2, 4, 5]
    assert fitted([1, 2, 3, 4, 5], 3) == [1, 2, 5]
    assert fitted([1, 2, 3, 4, 5], 0) == fitted([1, 2, 3, 4, 5], 0, "tail") == []
    assert fitted([1, 2, 3, 4, 5], 3, "tail") == [3, 4, 5]
    assert fitted([1, 2, 3, 4, 5], 9, "tail") == [1, 2, 3, 4, 5]
    (row,) = encode([Continuation("abdd", "c")], made(), 5, "tail")
    assert (
        row["input_ids"]
        == [*prompts(["abdd"], made(), 2, continued=True, truncate="tail")[0], 3, 4, 0]
        == [5, 5, 3, 4, 0]
    )


def test_a_space_that_a_tokenizer_adds_itself_stands_once():
    """SentencePiece begins every text with a space, so a text tokenized alone would have two."""
    inner = Tokenizer(models.BPE(vocab={"<end>": 0, "▁": 1, "a": 2, "b": 3}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<end>")
    assert tokenizer(" b", add_special_tokens=False)["input_ids"] == [1, 3]
    (row,) = encode([Continuation("a", "b")], tokenizer, 20)
    assert row["input_ids"] == [1, 2, 1, 3, 0]
    assert start_ids(tokenizer) == []
