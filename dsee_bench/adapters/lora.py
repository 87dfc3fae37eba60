"""LoRA's adapter, as PEFT attaches it: delta s B A."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dsee_bench.adapters.protocol import ADAPTER
from dsee_bench.pruning.surgery import narrow_weight


@dataclass(frozen=True)
class LoraAdapter:
    """The adapter protocol over PEFT's LoraLayer: U is its B (O, R), V its A (R, I), and there is no S2."""

    layer: Any  # peft.tuners.lora.LoraLayer
    name: str = ADAPTER

    def rank(self) -> int:
        return int(self.layer.r[self.name])

    def scale(self) -> float:
        return float(self.layer.scaling[self.name])

    def num_entries(self) -> int:
        return 0

    def low_rank_delta(self) -> Tensor:
        product: Tensor = self.layer.lora_B[self.name].weight @ self.layer.lora_A[self.name].weight
        return product

    def sparse_delta(self) -> Tensor:
        return torch.zeros_like(self.low_rank_delta())

    def shrink(self, rows: Tensor | None, columns: Tensor | None) -> None:
        if rows is not None:
            narrow_weight(self.layer.lora_B[self.name], rows, None, transposed=False)
            self.layer.out_features = len(rows)
        if columns is not None:
            narrow_weight(self.layer.lora_A[self.name], None, columns, transposed=False)
            self.layer.in_features = len(columns)

    def scale_columns(self, factors: Tensor) -> None:
        self.layer.lora_A[self.name].weight.data.mul_(factors)
