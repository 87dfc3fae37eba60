"""How well a language model predicts running text: the loss of every token, and scores made of it."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from dsee_bench import metrics
from dsee_bench.monitoring.progress import Counting
from dsee_bench.system import signals
from dsee_bench.tasks.example import Split
from dsee_bench.training.batch import SortedByLength, collator, encode_split
from dsee_bench.training.evaluate import Answers
from dsee_bench.training.job import Setup
from dsee_bench.training.prompts import NO_LOSS


def measure(model: PreTrainedModel, setup: Setup, split: Split[Any]) -> Answers:
    """Return the loss of each block of a split, summed over its tokens, and the task's scores.

    Its reference is how many tokens were predicted, and how many words of the text they are: the share of the words
    that they have of all tokens, since a block's first token is not predicted.
    """
    losses = block_losses(model, setup, split)
    blocks = split.examples
    words_per_token = blocks.words / blocks.tokens  # type: ignore[attr-defined]  # training.blocks.Blocks
    predicted = [len(block.ids) - 1 for block in blocks]
    references = [[float(tokens), tokens * words_per_token] for tokens in predicted]
    how = f"blocks of {setup.recipe.max_length} tokens"
    scores = []
    for name in setup.task.metrics:
        metric = metrics.find(name)
        scores.append(metric.score(metric(losses, references), name, split.name, len(losses), how))
    return Answers(split.name, tuple(losses), tuple(references), tuple(scores))


def block_losses(model: PreTrainedModel, setup: Setup, split: Split[Any]) -> list[float]:
    """Return the summed loss of each block in nats, in the order of the split; the same in batches of any size.

    Computed in the weights' own precision, as texts are written: bfloat16 moves a perplexity in its third digit.
    """
    rows = SortedByLength(encode_split(split, setup.tokenizer, setup.recipe.max_length))
    size = max(1, setup.recipe.batch_size // setup.recipe.gradient_accumulation_steps)
    pad = collator(setup.tokenizer)
    losses: list[float] = []
    was_training = model.training
    model.eval()
    progress = Counting(split.name, "block", len(rows))
    try:
        for at in range(0, len(rows), size):
            signals.raise_if_stopped()
            batch = pad(rows.__getitems__(range(at, min(at + size, len(rows))))).to(model.device)
            with torch.inference_mode():
                logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
                losses += _summed(logits, batch["labels"])
            progress.advance(len(batch["labels"]))
    finally:
        model.train(was_training)
        progress.close()
    return rows.restore(losses)


def _summed(logits: torch.Tensor, labels: torch.Tensor) -> Iterator[float]:
    """Yield the loss of each row, summed over the tokens that are predicted."""
    for predicted, following in zip(logits[:, :-1], labels[:, 1:], strict=True):
        loss = cross_entropy(predicted.float(), following, ignore_index=NO_LOSS, reduction="none")
        yield loss.double().sum().item()
