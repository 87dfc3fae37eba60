"""Generate texts for the contexts of a split, and score them.

Each distinct context is decoded once, in batches of like length. A finished batch is appended to a file at once, from
which an interrupted decode resumes. Each line has its own checksum and one of the model, the contexts and the settings;
lines of another model are dropped.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.generation.logits_process import NoRepeatNGramLogitsProcessor

from dsee_bench.metrics import nlg
from dsee_bench.monitoring.console import info
from dsee_bench.monitoring.progress import Counting
from dsee_bench.record import Score
from dsee_bench.system import jsonl
from dsee_bench.system.files import make_room, write_atomically
from dsee_bench.tasks.example import Split, Truncate
from dsee_bench.tasks.generation import Decoding, Generation
from dsee_bench.tasks.scoring import score_outputs
from dsee_bench.training.batch import prompts
from dsee_bench.training.evaluate import Answers

BLANK_LINE = "\n\n"


def check_splits(task: Any, data: Mapping[str, Split[Any]]) -> None:
    """Raise ValueError, before anything is trained, if a split to decode or a package that scores it is missing."""
    nlg.check_installed(task.protocol, task.metrics)
    missing = [name for name in task.decode.splits if name not in data]
    if missing:
        raise ValueError(
            f"task.decode.splits={list(task.decode.splits)} asks for {', '.join(missing)}, the data of {task.name} has "
            f"{', '.join(data)}; give the files of that split, or set task.decode.splits=[dev]"
        )


def answer_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Any,  # one of the data-to-text tasks
    data: Mapping[str, Split[Any]],
    folder: Path,
    max_length: int = sys.maxsize,
) -> Iterator[Answers]:
    """Generate texts for each split in `task.decode.splits` and score them; one without references has no score.

    `folder`/outputs.<split>.txt has a line an example, in the order of the split. A prompt has `max_length` tokens at
    most.
    """
    for name in task.decode.splits:
        examples: Sequence[Generation] = data[name].examples[: task.decode.contexts]
        contexts = [example.context for example in examples]
        limit = max_length if examples[0].continued else None
        file, truncate = folder / f"decode.{name}.jsonl", getattr(task, "truncate", None)
        texts = decode(model, tokenizer, contexts, task.decode, file, limit, truncate)
        outputs = folder / f"outputs.{name}.txt"
        make_room(outputs)
        write_atomically(outputs, "".join(f"{' '.join(text.splitlines())}\n" for text in texts))
        source = ", ".join(
            part for part in (f"{task.name} {name}", data[name].source, f"{len(examples)} contexts") if part
        )
        scores: tuple[Score, ...] = ()
        if any(example.references for example in examples):
            scores = tuple(score_outputs(task, examples, texts, names=task.metrics, split=name, source=source))
        else:
            info(f"  {name}: no references, so its texts are written and not scored: {outputs}")
        references = tuple(example.references for example in examples)
        categories = tuple(example.category for example in examples)
        yield Answers(name, tuple(texts), references, scores, categories=categories)


def decode(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Sequence[str],
    decoding: Decoding,
    file: Path,
    max_length: int | None = None,
    truncate: Truncate | None = None,
) -> tuple[str, ...]:
    """Return one text a context, in their order; finished ones are in `file`, from which a later call resumes.

    With `max_length` the contexts are prompts that the texts go on from, and of so many tokens at most.
    """
    continued = max_length is not None
    room = room_for_context(model, decoding, max_length)
    distinct = list(dict.fromkeys(contexts))
    cut = prompts(distinct, tokenizer, room, continued=continued, truncate=truncate)
    ids = dict(zip(distinct, cut, strict=True))
    longest_first = sorted(distinct, key=lambda context: -len(ids[context]))
    size = decoding.batch_size
    batches = [longest_first[at : at + size] for at in range(0, len(longest_first), size)]
    fingerprint = _fingerprint(model, list(ids.items()), decoding)
    done = _resume(file, fingerprint)
    # Whole batches only, so that a resumed decode has the batches of an uninterrupted one.
    todo = [batch for batch in batches if not all(context in done for context in batch)]
    progress = Counting("decode", "context", len(distinct), len(distinct) - sum(map(len, todo)))
    for batch in todo:
        texts = write(model, tokenizer, [ids[context] for context in batch], decoding, continued=continued)
        done.update(zip(batch, texts, strict=True))
        jsonl.append(file, [{"decode": fingerprint, "context": context, "text": done[context]} for context in batch])
        progress.advance(len(batch))
    progress.close()
    return tuple(done[context] for context in contexts)


def room_for_context(model: PreTrainedModel, decoding: Decoding, max_length: int | None = None) -> int:
    """Return how many tokens of a prompt leave room for the new ones, and no more than `max_length`."""
    room = model.config.max_position_embeddings - decoding.new_tokens
    if room < 1:
        raise ValueError(
            f"task.decode.new_tokens={decoding.new_tokens} leaves no room for a context; the model has "
            f"{model.config.max_position_embeddings} positions"
        )
    return room if max_length is None else min(room, max_length)


def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt_ids: Sequence[Sequence[int]],
    decoding: Decoding,
    *,
    continued: bool = False,
) -> list[str]:
    """Return the text that beam search finds after each prompt, decoded as one batch.

    A text that goes on from its prompt may have several lines; any other ends at a blank line and is one line.
    """
    longest = max(map(len, prompt_ids))
    # Padding on the left, so that new tokens follow the prompt; generate counts positions by the attention mask.
    ids = [[tokenizer.pad_token_id] * (longest - len(row)) + list(row) for row in prompt_ids]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in prompt_ids]
    settings = GenerationConfig(
        num_beams=decoding.beams,
        length_penalty=decoding.length_penalty,
        max_new_tokens=decoding.new_tokens,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id if continued else _ends(tokenizer),
    )
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            output = model.generate(
                torch.tensor(ids, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                generation_config=settings,
                logits_processor=LogitsProcessorList([_NoRepeat(decoding.no_repeat_ngram, longest)]),
            )
    finally:
        model.train(was_training)
    return [text_of(row, tokenizer, one_line=not continued) for row in output[:, longest:].tolist()]


def _ends(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens that end a text: end-of-text and, where it is one token as for GPT-2, the blank line."""
    blank = tokenizer(BLANK_LINE, add_special_tokens=False)["input_ids"]
    return [tokenizer.eos_token_id, *(blank if len(blank) == 1 else [])]


def text_of(tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase, *, one_line: bool = True) -> str:
    """Return the text before the end-of-text token or, as one line, before a blank one; without outer white space."""
    ids = list(tokens)
    if tokenizer.eos_token_id in ids:
        ids = ids[: ids.index(tokenizer.eos_token_id)]
    text = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
    return " ".join(text.strip().split(BLANK_LINE)[0].split("\n")).strip() if one_line else text.strip()


class _NoRepeat(LogitsProcessor):
    """No n-gram twice among the new tokens, as in LoRA's search.

    transformers' own rule counts the prompt, too, and so forbids to copy a name of n tokens from it.
    """

    def __init__(self, n: int, prompt: int) -> None:
        self._rule = NoRepeatNGramLogitsProcessor(n) if n else None
        self._prompt = prompt

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores if self._rule is None else self._rule(input_ids[:, self._prompt :], scores)


def _fingerprint(model: PreTrainedModel, prompt_ids: Sequence[Any], decoding: Decoding) -> str:
    """Return a SHA-256 over all that decides the outputs."""
    digest = hashlib.sha256(json.dumps([prompt_ids, repr(decoding)]).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _resume(file: Path, fingerprint: str) -> dict[str, str]:
    """Return the texts by context from an earlier start with this model; a torn last line is cut off."""
    rows = [row for row in jsonl.read(file) if row.get("decode") == fingerprint]
    jsonl.write(file, rows)
    return {row["context"]: row["text"] for row in rows}
