"""How many contexts a second beam search writes for, in batches and one by one: a random GPT-2 of 6 layers on toy_d2t.

The settings are LoRA's for E2E (10 beams) but for the length, which is 32 tokens here.
"""

import dataclasses
import time

import torch
from omegaconf import OmegaConf

from dsee_bench import config, plan
from dsee_bench.tasks.generation import Decoding
from dsee_bench.training import decode
from dsee_bench.training.batch import prompts

MODEL = ["layers=6", "hidden=384", "heads=6", "ffn=1536"]
BATCHES = (1, 8, 16)
CONTEXTS = 16


def main() -> None:
    overrides = ["task=toy_d2t", "backbone=tiny-gpt2", *(f"backbone.{setting}" for setting in MODEL)]
    overrides += ["task.decode.beams=10", "task.decode.new_tokens=32"]
    settings = plan.read(OmegaConf.to_container(config.compose(overrides), resolve=True))  # type: ignore[arg-type]
    torch.manual_seed(0)
    loaded = settings.backbone.load_lm()
    contexts = [example.context for example in settings.task.load(None, 0)["test"].examples[:CONTEXTS]]
    given = sorted(prompts(contexts, loaded.tokenizer, 256), key=len)
    search: Decoding = settings.task.decode  # type: ignore[attr-defined]
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
