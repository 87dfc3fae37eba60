"""What stages ask of the adapter beside one weight, whatever its method. Nothing heavy is imported with this module."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

ADAPTER = "default"  # PEFT's own name for the one adapter


class Adapter(Protocol):
    """The adapter of one weight W (O, I): its delta is s (U V + S2), of rank R with K single entries."""

    def rank(self) -> int: ...  # R
    def scale(self) -> float: ...  # s
    def num_entries(self) -> int: ...  # K
    def low_rank_delta(self) -> "Tensor": ...  # U V (O, I), without s
    def sparse_delta(self) -> "Tensor": ...  # S2 (O, I), without s

    def shrink(self, rows: "Tensor | None", columns: "Tensor | None") -> None:
        """Keep these outputs and inputs (ascending; None: all), in place; the caller narrows W."""

    def scale_columns(self, factors: "Tensor") -> None:
        """Multiply the delta's columns by `factors` (I,), in place."""


def adapter_of(module: "nn.Module") -> Adapter | None:
    """Return the adapter on `module`, or None where there is none; ValueError for one that stages cannot change."""
    from peft.tuners.adalora import AdaLoraLayer
    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer

    from dsee_bench.adapters.dsee.layer import DseeLayer
    from dsee_bench.adapters.lora import LoraAdapter

    if not isinstance(module, BaseTunerLayer):
        return None
    if isinstance(module, DseeLayer):
        return module
    if isinstance(module, LoraLayer) and not isinstance(module, AdaLoraLayer):
        return LoraAdapter(module)
    raise ValueError(f"the adapter {type(module).__name__} can be neither read nor narrowed; DSEE's and LoRA's can")
