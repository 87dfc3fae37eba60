"""Running text: what the blocks hold, and perplexity by plain torch, the same in batches of any size."""

import dataclasses
import math

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from dsee_bench import metrics, plan
from dsee_bench.runs import sweep
from dsee_bench.tasks.example import Example, split_of
from dsee_bench.training.batch import collator, encode_split
from dsee_bench.training.blocks import in_blocks
from dsee_bench.training.job import Setup
from dsee_bench.training.perplexity import measure
from dsee_bench.training.prompts import NO_LOSS

LETTERS = {"<end>": 0, "a": 1, "b": 2, "Ġ": 3, "c": 4, "d": 5, "Ċ": 6}
TEXTS = ["ab cd", "", "dd", "a c b d"]


@pytest.fixture
def tokenizer():
    inner = Tokenizer(models.BPE(vocab=LETTERS, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<end>")


@pytest.fixture
def model():
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": 32, "vocab_size": len(LETTERS)}
    made = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
    torch.nn.init.normal_(made.transformer.wte.weight, std=1.0)
    return made.eval()


def texts(*written):
    return split_of("dev", [Example((text,), None) for text in written or TEXTS])


@pytest.mark.parametrize(
    ("separator", "length", "blocks", "words"),
    [
        (None, 100, [[1, 2, 3, 4, 5, 0, 0, 5, 5, 0, 1, 3, 4, 3, 2, 3, 5, 0]], 7),
        (None, 6, [[1, 2, 3, 4, 5, 0], [0, 5, 5, 0, 1, 3], [4, 3, 2, 3, 5, 0]], 7),
        (None, 7, [[1, 2, 3, 4, 5, 0, 0], [5, 5, 0, 1, 3, 4, 3], [2, 3, 5, 0]], 7),
        ("\n", 8, [[1, 2, 3, 4, 5, 6, 6, 5], [5, 6, 1, 3, 4, 3, 2, 3], [5, 6]], 7),
        ("", 5, [[1, 2, 3, 4, 5], [5, 5, 1, 3, 4], [3, 2, 3, 5]], 7),
        (None, 17, [[1, 2, 3, 4, 5, 0, 0, 5, 5, 0, 1, 3, 4, 3, 2, 3, 5]], 7),  # one token alone is no block
    ],
)
def test_the_blocks_of_a_split(tokenizer, separator, length, blocks, words):
    split = texts()
    made = in_blocks(split, tokenizer, length, separator)
    assert [list(block.ids) for block in made.examples] == blocks
    assert made.examples.words == words
    assert made.sha256 == split.sha256
    for row, block in zip(encode_split(made, tokenizer, length), blocks, strict=True):
        assert row == {"input_ids": block, "attention_mask": [1] * len(block), "labels": [NO_LOSS, *block[1:]]}


def test_no_text_is_no_split(tokenizer):
    with pytest.raises(ValueError, match="split 'dev' has less than two tokens of text"):
        in_blocks(texts(""), tokenizer, 8, None)


def setup_of(tokenizer, batch_size, length):
    settings = plan.read(sweep.resolved(["task=toy_d2t", "backbone=tiny-gpt2"]))
    recipe = dataclasses.replace(
        settings.recipe, batch_size=batch_size, gradient_accumulation_steps=1, max_length=length, precision="bf16"
    )

    class Task:
        kind, name, metrics = "language_modeling", "x", ("perplexity", "word_perplexity")

    return Setup(tokenizer, Task(), recipe, "cpu")


def by_hand(model, blocks):
    """Loss of every token given the ones before it in its block, one block and one token at a time."""
    losses = []
    for block in blocks:
        for at in range(1, len(block.ids)):
            with torch.no_grad():
                logits = model(torch.tensor([block.ids[:at]])).logits[0, -1]
            losses.append(-torch.log_softmax(logits.double(), -1)[block.ids[at]].item())
    return losses


@pytest.mark.parametrize("length", [4, 7, 30])
def test_perplexity_by_plain_torch(tokenizer, model, length):
    split = in_blocks(texts(), tokenizer, length, None)
    losses = by_hand(model, split.examples)
    mean = sum(losses) / len(losses)
    answers = [measure(model, setup_of(tokenizer, size, length), split) for size in (1, 2, 5)]
    for made in answers:
        found = {score.name: score.value for score in made.scores}
        assert found["perplexity"] == pytest.approx(math.exp(mean), rel=1e-5)
        # 18 tokens for 7 words, so a word has the loss of 18 / 7 tokens
        assert found["word_perplexity"] == pytest.approx(math.exp(mean * 18 / 7), rel=1e-5)
        assert [score.better for score in made.scores] == ["lower"] * 2
        assert f"|blocks of {length} tokens|" in made.scores[0].signature
        assert sum(tokens for tokens, _ in made.references) == len(losses)


def test_what_is_learned_is_the_mean_over_the_predicted_tokens(tokenizer, model):
    split = in_blocks(texts(), tokenizer, 7, None)
    batch = collator(tokenizer)(list(encode_split(split, tokenizer, 7)))
    losses = by_hand(model, split.examples)
    assert model(**batch).loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_a_loss_beyond_numbers_is_undefined():
    measured = metrics.find("perplexity")([2000.0], [[2.0, 1.0]])
    assert measured.value is None
    assert "too large" in measured.reason
    assert metrics.find("word_perplexity")([2.0], [[2.0, 0.0]]).reason == "there is no word in the text"
