"""What a plan knows of each PEFT method: the settings it needs and the numbers it trains. PEFT is not imported."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dsee_bench.adapters import adalora
from dsee_bench.models.spec import LinearSpec, Site

Settings = dict[str, Any]


@dataclass(frozen=True)
class PeftMethod:
    needed: tuple[str, ...]  # settings that `count` reads
    count: Callable[[LinearSpec, Settings], LinearSpec]  # the weight with its adapter, by the definition in the paper
    more: Callable[[Sequence[Site]], Settings] = lambda sites: {}  # settings that follow from the adapted sites
    in_weight: bool = False  # its forward adds the adapter to W itself, which must then be in float32


METHODS = {
    "LORA": PeftMethod(("r",), lambda w, s: replace(w, rank=s["r"])),
    "ADALORA": PeftMethod(adalora.NEEDED, adalora.count, adalora.more),
    # One factor an output, or an input for a feed-forward weight.
    "IA3": PeftMethod(
        (),
        lambda w, s: replace(w, extra=w.inputs if w.site.kind == "ffn_out" else w.outputs),
        lambda sites: {"feedforward_modules": [site.path for site in sites if site.kind == "ffn_out"]},
    ),
    # Two vectors; the random matrices that they scale are shared and frozen.
    "VERA": PeftMethod(("r",), lambda w, s: replace(w, frozen_rank=s["r"], extra=s["r"] + w.outputs)),
    # As many single entries as a low rank of r would have.
    "SHIRA": PeftMethod(("r",), lambda w, s: replace(w, num_entries=s["r"] * (w.outputs + w.inputs)), in_weight=True),
    "SUPERTUNING": PeftMethod(
        ("r", "sparsity"),
        lambda w, s: replace(w, rank=s["r"], num_entries=int((1 - s["sparsity"]) * w.size)),
        in_weight=True,
    ),
}
