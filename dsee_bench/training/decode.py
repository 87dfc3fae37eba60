"""What a language model writes for the contexts of a split, and its scores.

Each distinct context is decoded once, in batches of like length. A batch that is done is appended to a file at once, so
a decode that is stopped goes on where it was. Each line has a checksum of its own and one of the model, the contexts
and the settings; those of another model are dropped.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.generation.logits_process import NoRepeatNGramLogitsProcessor

from dsee_bench import record
from dsee_bench.metrics import nlg
from dsee_bench.monitoring.console import draws_bars, info
from dsee_bench.monitoring.progress import REPORT_EVERY
from dsee_bench.record import Score
from dsee_bench.system import jsonl
from dsee_bench.system.files import make_room, opener
from dsee_bench.tasks.example import Split
from dsee_bench.tasks.generation import Decoding, Generation
from dsee_bench.tasks.scoring import score_outputs
from dsee_bench.training.batch import prompts

BLANK_LINE = "\n\n"


def check_splits(task: Any, data: Mapping[str, Split[Any]]) -> None:
    """Raise ValueError, before anything is trained, if a split to decode or a package that scores it is missing."""
    nlg.check_installed(task.protocol)
    missing = [name for name in task.decode.splits if name not in data]
    if missing:
        raise ValueError(
            f"task.decode.splits={list(task.decode.splits)} asks for {', '.join(missing)}, the data of {task.name} has "
            f"{', '.join(data)}; give the files of that split, or set task.decode.splits=[dev]"
        )


def decode_and_score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Any,  # one of the data-to-text tasks
    data: Mapping[str, Split[Any]],
    folder: Path,
) -> tuple[Score, ...]:
    """Write and score each split that the task's settings name; outputs go to `folder`/outputs.<split>.txt, a line an
    example, in the order of the split, and with what they are scored by to `folder`/answers.json."""
    scores: list[Score] = []
    kept = {}
    for name in task.decode.splits:
        examples: Sequence[Generation] = data[name].examples[: task.decode.contexts]
        contexts = [example.context for example in examples]
        texts = decode(model, tokenizer, contexts, task.decode, folder / f"decode.{name}.jsonl")
        outputs = folder / f"outputs.{name}.txt"
        make_room(outputs)
        record.write_atomically(outputs, "".join(f"{text}\n" for text in texts))
        source = ", ".join(
            part for part in (f"{task.name} {name}", data[name].source, f"{len(examples)} contexts") if part
        )
        scores += score_outputs(task.protocol, examples, texts, names=task.metrics, split=name, source=source)
        kept[name] = {
            "answers": texts,
            "references": [example.references for example in examples],
            "categories": [example.category for example in examples],
        }
    jsonl.write(folder / "answers.json", [kept])
    return tuple(scores)


def decode(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Sequence[str],
    decoding: Decoding,
    file: Path,
) -> tuple[str, ...]:
    """One text a context, in their order. What is done is kept in `file`, and a later call goes on from there."""
    room = room_for_context(model, decoding)
    distinct = list(dict.fromkeys(contexts))
    given = dict(zip(distinct, prompts(distinct, tokenizer, room), strict=True))
    longest_first = sorted(distinct, key=lambda context: -len(given[context]))
    size = decoding.batch_size
    batches = [longest_first[at : at + size] for at in range(0, len(longest_first), size)]
    fingerprint = _fingerprint(model, distinct, decoding)
    done = _resume(file, fingerprint)
    # Whole batches only, so that the batches of a decode that went on are those of one that was never stopped.
    todo = [batch for batch in batches if not all(context in done for context in batch)]
    progress = _Progress(len(distinct), len(distinct) - sum(map(len, todo)))
    for batch in todo:
        texts = write(model, tokenizer, [given[context] for context in batch], decoding)
        done.update(zip(batch, texts, strict=True))
        _append(file, [{"decode": fingerprint, "context": context, "text": done[context]} for context in batch])
        progress.advance(len(batch))
    progress.close()
    return tuple(done[context] for context in contexts)


def room_for_context(model: PreTrainedModel, decoding: Decoding) -> int:
    """Tokens of a prompt that leave room for the new ones."""
    room = model.config.max_position_embeddings - decoding.new_tokens
    if room < 1:
        raise ValueError(
            f"task.decode.new_tokens={decoding.new_tokens} leaves no room for a context; the model has "
            f"{model.config.max_position_embeddings} positions"
        )
    return room


def write(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, given: Sequence[Sequence[int]], decoding: Decoding
) -> list[str]:
    """The text that beam search finds after each of these prompts, which are decoded as one batch."""
    longest = max(map(len, given))
    # On the left, so that what is written follows on the prompt; generate counts positions by the attention mask.
    ids = [[tokenizer.pad_token_id] * (longest - len(row)) + list(row) for row in given]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in given]
    settings = GenerationConfig(
        num_beams=decoding.beams,
        length_penalty=decoding.length_penalty,
        max_new_tokens=decoding.new_tokens,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=_ends(tokenizer),
    )
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            found = model.generate(
                torch.tensor(ids, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                generation_config=settings,
                logits_processor=LogitsProcessorList([_NoRepeat(decoding.no_repeat_ngram, longest)]),
            )
    finally:
        model.train(was_training)
    return [_text(row, tokenizer) for row in found[:, longest:].tolist()]


def _ends(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens that end a text: the end-of-text token and, where it is one token as GPT-2's, the blank line."""
    blank = tokenizer(BLANK_LINE, add_special_tokens=False)["input_ids"]
    return [tokenizer.eos_token_id, *(blank if len(blank) == 1 else [])]


def _text(written: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """The text before the end-of-text token or a blank line, as one line without outer white space."""
    ids = list(written)
    if tokenizer.eos_token_id in ids:
        ids = ids[: ids.index(tokenizer.eos_token_id)]
    text = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
    return " ".join(text.strip().split(BLANK_LINE)[0].split("\n")).strip()


class _NoRepeat(LogitsProcessor):
    """No run of n tokens twice in what is written. transformers' own rule counts the prompt too, and so forbids to copy
    a name of n tokens from it; LoRA's search looks at the written tokens alone, as this does."""

    def __init__(self, n: int, prompt: int) -> None:
        self._rule = NoRepeatNGramLogitsProcessor(n) if n else None
        self._prompt = prompt

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores if self._rule is None else self._rule(input_ids[:, self._prompt :], scores)


# --- the file of a decode ---------------------------------------------------------------------------------------------


def _fingerprint(model: PreTrainedModel, contexts: Sequence[str], decoding: Decoding) -> str:
    """SHA-256 over all that decides the outputs."""
    digest = hashlib.sha256(json.dumps([contexts, repr(decoding)]).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _resume(file: Path, fingerprint: str) -> dict[str, str]:
    """The texts by context that `file` holds from an earlier start with this model, or none. A torn last line, of a
    process that was killed while it wrote, is cut off."""
    rows = [row for row in jsonl.read(file) if row.get("decode") == fingerprint]
    jsonl.write(file, rows)
    return {row["context"]: row["text"] for row in rows}


def _append(file: Path, rows: Sequence[Mapping[str, str]]) -> None:
    with open(file, "a", encoding="utf-8", opener=opener) as stream:
        stream.write("".join(map(jsonl.dump, rows)))
        stream.flush()
        os.fsync(stream.fileno())


class _Progress:
    """Contexts done and the time left: a bar on a terminal, a line now and then elsewhere. The longest contexts come
    first, so the time left is rather too long than too short."""

    def __init__(self, total: int, before: int) -> None:
        self._total, self._before, self._done = total, before, before
        self._started = self._told = time.perf_counter()
        self._bar = None
        if draws_bars() and before < total:
            self._bar = tqdm(total=total, initial=before, desc="decode", unit="context", leave=False)
        if before:
            info(f"  decode: {before} of {total} contexts were done before")

    def advance(self, contexts: int) -> None:
        self._done += contexts
        now = time.perf_counter()
        if self._bar is not None:
            self._bar.update(contexts)
        elif now - self._told >= REPORT_EVERY or self._done == self._total:
            seconds = now - self._started
            left = seconds / (self._done - self._before) * (self._total - self._done)
            info(f"  decode  context {self._done}/{self._total}  {seconds:.0f} s, {left:.0f} s left")
            self._told = now

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
