"""Choose where S2 sits in one weight by each placement, and make masks by each scope. Shapes are (outputs, inputs)."""

import torch

from dsee_bench.pruning.decomposition import place
from dsee_bench.pruning.masks import masks_in_scope

weight = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))

for placement in ("decomposition", "magnitude", "random"):
    generator = torch.Generator().manual_seed(0)
    positions = place(weight, 8, placement, rank=4, generator=generator, name="weight")  # (8,), flat in (32, 16)
    print(f"{placement}: rows {(positions // 16).tolist()}, columns {(positions % 16).tolist()}")

for scope in ("model", "row", "2:4"):
    (mask,) = masks_in_scope([weight.abs()], 0.5, scope)  # (32, 16), bool, True where the entry stays
    print(f"{scope}: {int(mask.sum())} of {mask.numel()} stay, in the first row {int(mask[0].sum())}")
