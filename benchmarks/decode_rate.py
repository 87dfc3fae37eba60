"""How many contexts a second beam search writes for, in batches and one by one: a random GPT-2 of 6 layers on toy_d2t.

The settings are LoRA's for E2E (10 beams) but for the length, which is 32 tokens here.
"""

import dataclasses
import time
from collections.abc import Iterator

import torch
from measured import Row
from omegaconf import OmegaConf

from dsee_bench import config, plan
from dsee_bench.models.load import Loaded
from dsee_bench.tasks.generation import Decoding
from dsee_bench.training import decode
from dsee_bench.training.batch import prompts

MODEL = ["layers=6", "hidden=384", "heads=6", "ffn=1536"]
BATCHES = (1, 8, 16)
CONTEXTS = 16


def rows(beams: int = 10) -> Iterator[Row]:
    """Yield our search beside transformers' generate with the same settings, in turn: tokens a second, as a ratio."""
    loaded, given, search = _prepared(beams)
    decoding = dataclasses.replace(search, batch_size=8)
    batches = [given[at : at + 8] for at in range(0, len(given), 8)]
    ours, theirs = [], []
    for batch in (batches[0], *batches, *batches):
        started = time.perf_counter()
        decode.write(loaded.model, loaded.tokenizer, batch, decoding)
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        _generate(loaded, batch, decoding)
        theirs.append(time.perf_counter() - started)
    tokens = len(batches) * 2 * 8 * decoding.new_tokens
    ratio = sum(theirs[1:]) / sum(ours[1:])  # the first ones warm up
    note = f"at most {tokens / sum(ours[1:]):,.0f} tokens/s beside {tokens / sum(theirs[1:]):,.0f}"
    yield Row(f"decoding with {beams} beams / transformers' generate", ratio, "x", 1.0, note, at_least=True)


def _generate(loaded: Loaded, batch: list[list[int]], decoding: Decoding) -> None:
    longest = max(map(len, batch))
    pad = loaded.tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in batch])
    with torch.inference_mode():
        output = loaded.model.eval().generate(
            ids,
            attention_mask=(ids != pad).long(),
            num_beams=decoding.beams,
            length_penalty=decoding.length_penalty,
            max_new_tokens=decoding.new_tokens,
            no_repeat_ngram_size=decoding.no_repeat_ngram,
            do_sample=False,
            pad_token_id=pad,
        )
    loaded.tokenizer.batch_decode(output[:, longest:], skip_special_tokens=True)


def _prepared(beams: int) -> tuple[Loaded, list[list[int]], Decoding]:
    """A model of random weights, the prompts by length, and the settings of the search."""
    overrides = ["task=toy_d2t", "backbone=tiny-gpt2", *(f"backbone.{setting}" for setting in MODEL)]
    overrides += [f"task.decode.beams={beams}", "task.decode.new_tokens=32"]
    settings = plan.read(OmegaConf.to_container(config.compose(overrides), resolve=True))  # type: ignore[arg-type]
    torch.manual_seed(0)
    loaded = settings.backbone.load_lm()
    contexts = [example.context for example in settings.task.load(None, 0)["test"].examples[:CONTEXTS]]
    given = sorted(prompts(contexts, loaded.tokenizer, 256), key=len)
    search: Decoding = settings.task.decode  # type: ignore[attr-defined]
    return loaded, given, search


def main() -> None:
    loaded, given, search = _prepared(10)
    alone = None
    for batch in BATCHES:
        decoding = dataclasses.replace(search, batch_size=batch)
        started = time.perf_counter()
        for at in range(0, len(given), batch):
            decode.write(loaded.model, loaded.tokenizer, given[at : at + batch], decoding)
        rate = len(given) / (time.perf_counter() - started)
        alone = alone or rate
        print(f"batch {batch:>2}: {rate:6.2f} contexts/s, {rate / alone:.1f} times one by one")


if __name__ == "__main__":
    main()
