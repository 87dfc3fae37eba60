"""AdaLoRA (Zhang et al., ICLR 2023): P Λ Q beside a weight, with ranks that PEFT takes away step by step.

PEFT's model is called after every step, and a penalty keeps P and Q orthogonal.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dsee_bench.models.spec import LinearSpec, Site

if TYPE_CHECKING:
    from torch import Tensor, nn

# Shares of all steps before the budget shrinks and after it is fixed (ours; the paper varies them by task).
WARM, FINAL = 0.1, 0.3
UNKNOWN_STEPS = 10**9  # PEFT asks for the number of steps when the adapter is made; `budget_of` sets it
RANK_COUNT = "ranknum"  # in the name of a parameter that PEFT counts ranks in; it does not train
NEEDED = ("init_r",)


def count(weight: LinearSpec, settings: dict[str, Any]) -> LinearSpec:
    """Return the weight with its adapter: it starts at init_r, and Λ has one entry a rank."""
    return replace(weight, rank=settings["init_r"], extra=settings["init_r"])


def more(sites: Sequence[Site]) -> dict[str, Any]:
    """Return the settings that PEFT asks for beside the user's."""
    return {"total_step": UNKNOWN_STEPS}


def budget_of(adapters: Any, steps: int) -> "Budget | None":
    """Return the budget that a tuning of `steps` steps follows; None where `adapters` is not AdaLoRA's."""
    from peft import AdaLoraModel

    return Budget(adapters, steps) if isinstance(adapters, AdaLoraModel) else None


@contextmanager
def every_rank(config: Any) -> Iterator[None]:
    """Let PEFT save all ranks: it cuts them to the pattern of the last step, and the weights kept may be of a step
    that had more. Another method's config is left alone."""
    if config.peft_type != "ADALORA":
        yield
        return
    pattern, config.rank_pattern = config.rank_pattern, None
    try:
        yield
    finally:
        config.rank_pattern = pattern


class Budget:
    """PEFT's allocator of ranks, called after every step; it has averages of importance, and the ranks it took."""

    def __init__(self, adapters: Any, steps: int) -> None:
        self._adapters, self._allocator = adapters, adapters.rankallocator
        self._config = config = adapters.peft_config[adapters.trainable_adapter_name]
        config.total_step, config.tinit, config.tfinal = steps, int(WARM * steps), int(FINAL * steps)
        # Weights of up to this step have more ranks than the budget; the last are a candidate, however few the steps.
        self.best_after = steps - max(config.tfinal, 1)

    @property
    def _averages(self) -> "dict[str, dict[str, Tensor]]":
        return {"exp_avg_ipt": self._allocator.exp_avg_ipt, "exp_avg_unc": self._allocator.exp_avg_unc}

    def penalty(self) -> "Tensor":
        weight: float = self._config.orth_reg_weight
        return weight * distance_from_orthogonal(self._adapters)

    def __call__(self, step: int) -> None:
        self._adapters.update_and_allocate(step)

    def state_dict(self) -> "dict[str, Tensor]":
        import torch

        averages = {f"{kind}/{name}": value for kind, found in self._averages.items() for name, value in found.items()}
        ranks = {f"ranks/{name}": torch.tensor(kept) for name, kept in (self._config.rank_pattern or {}).items()}
        return averages | ranks

    def load_state_dict(self, tensors: "dict[str, Tensor]") -> None:
        import torch

        device = next(self._adapters.parameters()).device
        self._config.rank_pattern = {}
        self._allocator.reset_ipt()
        for key, value in tensors.items():
            kind, name = key.split("/", 1)
            if kind == "ranks":
                self._config.rank_pattern[name] = value.tolist()
            else:
                self._averages[kind][name] = value.to(device)
                self._allocator.ipt[name] = torch.zeros_like(value, device=device)  # it lists the names in the others


def distance_from_orthogonal(adapters: "nn.Module") -> "Tensor":
    """Return the mean over all factors P of ||P P^T - I||_F (Equation 4, as PEFT takes it: not squared)."""
    import torch

    distances = []
    for name, factor in adapters.named_parameters():
        if ".lora_A." in name or ".lora_B." in name:
            gram = factor @ factor.T if ".lora_A." in name else factor.T @ factor
            distances.append(torch.linalg.norm(gram - torch.eye(len(gram), device=gram.device)))
    return torch.stack(distances).mean()
