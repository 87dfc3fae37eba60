"""Does S2 cost anything? Training steps of the DSEE update beside PEFT's LoRA, taking turns in one process.

MiniLM's shape (hidden 384, 6 layers, 12 heads, FFN 1536) with random weights, which take as long as trained ones;
R 16 on query and value, K 64 a weight, AdamW. The bars (ours): a step of at most 1.01 times LoRA's, and less than 1 %
more memory at the peak. Beside them the authors' way: S2 as a dense matrix, trained under a mask.

    python benchmarks/step_time.py --steps 100
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

import torch
from measured import Row
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from transformers import BertConfig, BertForSequenceClassification

from dsee_bench.adapters.dsee import DseeConfig

RANK, ALPHA, KEPT = 16, 32, 64
TARGETS = ["query", "value"]


class DenseUnderMask(nn.Module):
    """LoRA's layer, plus S2 as the authors train it: a dense (O, I) weight times a mask with K ones."""

    def __init__(self, lora: nn.Module, generator: torch.Generator) -> None:
        super().__init__()
        self.lora = lora
        weight = lora.get_base_layer().weight
        self.s2 = nn.Parameter(torch.zeros_like(weight))
        mask = torch.zeros(weight.numel())
        mask[torch.randperm(weight.numel(), generator=generator)[:KEPT]] = 1
        self.register_buffer("mask", mask.view_as(weight))

    def forward(self, x: Tensor) -> Tensor:
        return self.lora(x) + nn.functional.linear(x, self.s2 * self.mask) * (ALPHA / RANK)


def minilm_shape() -> nn.Module:
    torch.manual_seed(0)
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    return BertForSequenceClassification(config)


def with_lora() -> nn.Module:
    return get_peft_model(minilm_shape(), LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS))


def with_dsee(kept: int) -> nn.Module:
    config = DseeConfig(r=RANK, lora_alpha=ALPHA, num_entries=kept, positions="random", target_modules=TARGETS)
    return get_peft_model(minilm_shape(), config)


def with_dense_s2() -> nn.Module:
    model, generator = with_lora(), torch.Generator().manual_seed(0)
    for name, module in list(model.named_modules()):
        if name.endswith(tuple(TARGETS)):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, DenseUnderMask(module, generator))
    return model


def trainer_of(model: nn.Module, batch: Mapping[str, Tensor], *, bf16: bool) -> Callable[[], None]:
    """A function that does one whole training step."""
    device = batch["input_ids"].device
    model.to(device).train()
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad])

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def peak_bytes(step: Callable[[], None], model: nn.Module) -> int:
    """Most bytes held during a step: weights, AdamW's moments, and all that comes and goes."""
    if next(model.parameters()).is_cuda:
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    changes = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = itertools.accumulate(event.nbytes() for event in sorted(changes, key=lambda event: event.start_ns()))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    stays = sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers(), *trained, *trained])
    return stays + max(held)


def times_in_turn(steps: Mapping[str, Callable[[], None]], count: int) -> dict[str, list[float]]:
    """The seconds of `count` steps of each, which take turns; three more before them warm up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for turn in range(count + 3):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            steps[name]()
            if turn >= 3:
                times[name].append(time.perf_counter() - start)
    return times


def pairwise(ours: list[float], theirs: list[float]) -> float:
    """The median ratio of steps that were done one after the other."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def batch_of(rows: int, tokens: int, device: str = "cpu") -> dict[str, Tensor]:
    ids = torch.randint(1000, 30000, (rows, tokens), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids.to(device), "labels": (ids[:, 0] % 2).to(device)}


def rows(steps: int = 60) -> Iterator[Row]:
    batch = batch_of(32, 30)
    models = {"lora": with_lora(), "dsee": with_dsee(KEPT)}
    times = times_in_turn({name: trainer_of(model, batch, bf16=False) for name, model in models.items()}, steps)
    note = f"median of {steps} pairs, fp32, {torch.get_num_threads()} threads"
    yield Row("a step of DSEE's adapter / PEFT's LoRA", pairwise(times["dsee"], times["lora"]), "x", 1.01, note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=30)
    parser.add_argument("--bf16", action="store_true", help="under autocast")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    batch = batch_of(args.batch, args.tokens, args.device)
    models = {
        "PEFT LoRA": with_lora(),
        "DSEE, K 0": with_dsee(0),
        f"DSEE, K {KEPT}": with_dsee(KEPT),
        "dense S2 under a mask": with_dense_s2(),
    }
    steps = {name: trainer_of(model, batch, bf16=args.bf16) for name, model in models.items()}
    names = list(steps)
    peaks = {name: peak_bytes(steps[name], models[name]) for name in names}
    times = times_in_turn(steps, args.steps)

    print(
        f"{args.batch} x {args.tokens} tokens, {args.device}, {torch.get_num_threads()} threads, "
        f"{'bf16 autocast' if args.bf16 else 'fp32'}, {args.steps} steps each, in turn"
    )
    print(f"{'':24}{'trained':>10}{'ms, median':>12}{'/ LoRA':>8}{'pairwise':>10}{'peak MB':>9}{'/ LoRA':>9}")
    lora = times["PEFT LoRA"]
    for name in names:
        trained = sum(parameter.numel() for parameter in models[name].parameters() if parameter.requires_grad)
        median = statistics.median(times[name])
        memory = peaks[name] / peaks["PEFT LoRA"]
        print(
            f"{name:24}{trained:>10,}{median * 1e3:>12.1f}{median / statistics.median(lora):>8.3f}"
            f"{pairwise(times[name], lora):>10.3f}"
            f"{peaks[name] / 1e6:>9.1f}{memory:>9.4f}"
        )


if __name__ == "__main__":
    main()
