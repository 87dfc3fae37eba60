"""AdaLoRA: PEFT's tuner wants to be told of every step, and a penalty keeps its factors orthogonal."""

from typing import TYPE_CHECKING, Any

from dsee_bench.stages.stage import RunState

if TYPE_CHECKING:
    from torch import Tensor, nn

# Shares of all steps before the budget shrinks and after it is fixed (ours; the paper varies them by task).
WARM, FINAL = 0.1, 0.3


def budget_of(state: RunState, steps: int) -> "Budget | None":
    """The budget that a tuning of `steps` steps follows; None where no AdaLoRA is attached."""
    tuner = state.tuner
    return Budget(tuner, steps) if tuner is not None and hasattr(tuner, "rankallocator") else None


class Budget:
    """PEFT's allocator of ranks, told of every step; it keeps moving averages of importance and the ranks it took."""

    AVERAGES = ("exp_avg_ipt", "exp_avg_unc")

    def __init__(self, tuner: Any, steps: int) -> None:
        self._tuner, self._allocator = tuner, tuner.rankallocator
        self._config = config = tuner.peft_config[tuner.trainable_adapter_name]
        config.total_step, config.tinit, config.tfinal = steps, int(WARM * steps), int(FINAL * steps)
        # Weights of up to this step have more ranks than the budget; the last are a candidate, however few the steps.
        self.best_after = steps - max(config.tfinal, 1)

    def penalty(self) -> "Tensor":
        weight: float = self._config.orth_reg_weight
        return weight * distance_from_orthogonal(self._tuner)

    def __call__(self, step: int) -> None:
        self._tuner.update_and_allocate(step)

    def tensors(self) -> "dict[str, Tensor]":
        import torch

        averages = {
            f"{kind}/{name}": value for kind in self.AVERAGES for name, value in getattr(self._allocator, kind).items()
        }
        ranks = {f"ranks/{name}": torch.tensor(kept) for name, kept in (self._config.rank_pattern or {}).items()}
        return averages | ranks

    def load(self, tensors: "dict[str, Tensor]") -> None:
        import torch

        device = next(self._tuner.parameters()).device
        self._config.rank_pattern = {}
        self._allocator.reset_ipt()
        for key, value in tensors.items():
            kind, name = key.split("/", 1)
            if kind == "ranks":
                self._config.rank_pattern[name] = value.tolist()
            else:
                getattr(self._allocator, kind)[name] = value.to(device)
                self._allocator.ipt[name] = torch.zeros_like(value, device=device)  # by its names it knows the others


def distance_from_orthogonal(tuner: "nn.Module") -> "Tensor":
    """Mean over all factors P of ||P P^T - I||_F (AdaLoRA, Equation 4, as PEFT takes it: not squared)."""
    import torch

    distances = []
    for name, factor in tuner.named_parameters():
        if ".lora_A." in name or ".lora_B." in name:
            gram = factor @ factor.T if ".lora_A." in name else factor.T @ factor
            distances.append(torch.linalg.norm(gram - torch.eye(len(gram), device=gram.device)))
    return torch.stack(distances).mean()
