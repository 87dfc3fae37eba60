"""Rows of a language model: the layout token by token, where the loss falls, and padding that changes nothing."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from dsee_bench.tasks.example import Example, split_of
from dsee_bench.tasks.generation import Completion, Generation, completions, pairs
from dsee_bench.training.batch import collator, cut_prompts, encode, prompts
from dsee_bench.training.prompts import NO_LOSS

LETTERS = {"<end>": 0, "a": 1, "b": 2, "Ġ": 3, "c": 4, "d": 5}  # Ġ is the space; no merges: a letter is a token
N = NO_LOSS


@pytest.fixture
def tokenizer():
    inner = Tokenizer(models.BPE(vocab=LETTERS, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<end>")
    made.padding_side = "left"  # as load_lm leaves it, for generate
    return made


@pytest.fixture
def model():
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": 32, "vocab_size": len(LETTERS)}
    made = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
    torch.nn.init.normal_(made.transformer.wte.weight, std=1.0)  # far from uniform, so that every token counts
    return made.eval().double()


@pytest.mark.parametrize(
    ("max_length", "ids", "labels", "why"),
    [
        (6, [1, 2, 0, 3, 4, 0], [N, N, N, 3, 4, 0], "context, end, space and text, end: all of it fits"),
        (512, [1, 2, 0, 3, 4, 0], [N, N, N, 3, 4, 0], "nothing is padded"),
        (5, [1, 0, 3, 4, 0], [N, N, 3, 4, 0], "the context is cut, not the text"),
        (4, [0, 3, 4, 0], [N, 3, 4, 0], "no context is left"),
        (3, [0, 3, 4], [N, 3, 4], "a text that is too long alone is cut at its end"),
    ],
)
def test_the_layout_of_a_row(tokenizer, max_length, ids, labels, why):
    (row,) = encode([Completion("ab", "c")], tokenizer, max_length)
    assert row == {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}, why


@pytest.mark.parametrize(("max_length", "ids"), [(3, [1, 2, 0]), (9, [1, 2, 0]), (2, [1, 0])])
def test_a_prompt_is_the_row_before_its_text(tokenizer, max_length, ids):
    assert prompts(["ab"], tokenizer, max_length) == [ids]


def test_every_text_is_a_row(tokenizer):
    split = split_of("dev", [Generation("a", ("b", "c")), Generation("b", ("d",)), Generation("c", ())])
    rows = completions(split)
    assert (
        [(row.context, row.text) for row in rows.examples]
        == pairs(split.examples)
        == [
            ("a", "b"),
            ("a", "c"),
            ("b", "d"),
        ]
    )
    assert (rows.name, rows.sha256) == (split.name, split.sha256)


def test_rows_are_padded_on_the_right(tokenizer):
    """GPT-2 counts positions from the first token of a row in training, padding or not."""
    batch = collator(tokenizer)(encode([Completion("ab", "c"), Completion("a", "")], tokenizer, 9))
    assert batch["input_ids"].tolist() == [[1, 2, 0, 3, 4, 0], [1, 0, 3, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 6, [1, 1, 1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[N, N, N, 3, 4, 0], [N, N, 3, 0, N, N]]


def test_texts_to_classify_are_batched_as_before(tokenizer):
    rows = encode([Example(("ab",), 1), Example(("a",), 0)], tokenizer, 9)
    assert collator(tokenizer)(rows)["labels"].tolist() == [1, 0]


def test_the_loss_is_that_of_the_texts_alone(tokenizer, model):
    """By hand: the mean of -log p over the tokens of ` c` and ` dd` and their ends, each given all before it."""
    examples = [Completion("ab", "c"), Completion("a", "dd")]
    losses = []
    for context, text in (([1, 2, 0], [3, 4, 0]), ([1, 0], [3, 5, 5, 0])):
        for at in range(len(text)):
            logits = model(torch.tensor([[*context, *text[:at]]])).logits[0, -1].detach().double()
            losses.append(float(torch.logsumexp(logits, 0) - logits[text[at]]))
    batch = collator(tokenizer)(encode(examples, tokenizer, 9))
    # transformers takes the loss in float32: 6 logits and 7 terms, each rounded by 2^-24.
    assert float(model(**batch).loss.detach()) == pytest.approx(sum(losses) / 7, rel=16 * 2**-24)


@pytest.mark.parametrize(("max_length", "cut"), [(6, 0), (5, 1), (3, 1)])
def test_cut_rows_are_counted(tokenizer, max_length, cut):
    """Two letters, end, space and letter, end: six tokens; the prompt alone has three."""
    assert encode([Completion("ab", "c")], tokenizer, max_length).cut == cut
    assert cut_prompts(["ab"], tokenizer, max_length - 3) == cut
