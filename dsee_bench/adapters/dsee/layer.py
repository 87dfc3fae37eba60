"""One weight with its DSEE adapter beside it: W' = W + s (U V + S2) (paper, Section 3), for Linear and GPT-2's Conv1D.

Start: U = 0, V ~ N(0, 0.02), S2 = 0, so nothing changes before the first step. S2 keeps K values and K positions and is
never a matrix, except on demand for merging and scoring (`sparse_delta`). With K = 0 there is no S2, and this is LoRA.

A fused weight (GPT-2's `c_attn`: query, key and value) may be adapted in some blocks of its rows only, each with a U
and V of its own; these are stacked, so that one adapter has one U, one V, one list of values and one of positions.

Letters: O outputs, I inputs, B row blocks, A adapted rows (all of them together), R rank, K entries of S2.
"""

import zlib
from collections.abc import Callable, Sequence

import torch
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from dsee_bench.adapters.dsee.config import DseeConfig
from dsee_bench.adapters.dsee.entries import AddEntries
from dsee_bench.adapters.protocol import ADAPTER
from dsee_bench.pruning.decomposition import place


class DseeLayer(nn.Module, BaseTunerLayer):
    """A frozen module and its adapters, by adapter name; PEFT switches, saves and merges them."""

    adapter_layer_names = ("dsee_u", "dsee_v", "dsee_s2")
    other_param_names = ("dsee_positions", "dsee_masks", "dsee_dropout", "scaling", "blocks", "config")

    # PEFT's own, which a type checker cannot see.
    get_base_layer: Callable[[], nn.Module]
    active_adapters: list[str]
    weight: Tensor

    def __init__(self, base_layer: nn.Module, name: str) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.name = name  # the module's full name in the model
        self.transposed = isinstance(self.get_base_layer(), Conv1D)  # its weight is stored (I, O)
        self.dsee_u = nn.ParameterDict()  # (A, R)
        self.dsee_v = nn.ParameterDict()  # (B R, I)
        self.dsee_s2 = nn.ParameterDict()  # (K,), values; absent where K = 0
        self.dsee_positions = BufferDict(persistent=True)  # (2, K), int32, rows and columns; absent where K = 0
        self.dsee_masks = BufferDict(persistent=True)  # (O, I), bool; absent where the adapter is not masked
        self.dsee_dropout = nn.ModuleDict()
        self.scaling: dict[str, float] = {}  # s = alpha / R
        self.blocks: dict[str, list[tuple[int, int]]] = {}  # output rows [start, stop), B of them
        self.config: dict[str, DseeConfig] = {}
        self.merged_adapters: list[str] = []

    def add_adapter(self, adapter: str, config: DseeConfig) -> None:
        """Put an adapter beside the weight, as `config` says; it changes nothing until it is trained."""
        weight = self.oriented_weight
        blocks = config.blocks(self.name, weight.shape[0])
        # Seeded by name, so that V does not depend on which modules were adapted before.
        generator = torch.Generator().manual_seed(zlib.crc32(f"{config.seed} {self.name}".encode()))
        v = torch.randn(len(blocks) * config.r, weight.shape[1], generator=generator) * config.init_std
        self.blocks[adapter], self.scaling[adapter] = blocks, config.lora_alpha / config.r
        self.config[adapter] = config
        self.dsee_u[adapter] = nn.Parameter(weight.new_zeros(sum(b - a for a, b in blocks), config.r))
        self.dsee_v[adapter] = nn.Parameter(v.to(weight))
        self.dsee_dropout[adapter] = nn.Dropout(config.dropout) if config.dropout > 0 else nn.Identity()
        if config.masked:
            self.set_mask(adapter, torch.ones(weight.shape, dtype=torch.bool, device=weight.device))
        counts = config.counts(self.name, len(blocks))
        if config.positions == "stored" or weight.is_meta:
            self.set_entries(adapter, weight.new_full((2, sum(counts)), -1, dtype=torch.int32))  # for loading to fill
        else:
            self.set_positions(
                adapter,
                [
                    place(block, count, config.positions, rank=config.r, generator=generator, name=self.name)
                    for block, count in zip(self.block_weights(adapter), counts, strict=True)
                ],
            )

    def set_positions(
        self,
        adapter: str,
        positions: Sequence[Tensor],  # of each row block (K_b,), flat in (rows of the block, I)
    ) -> None:
        """Give S2 these entries, all zero; the adapter's config then says how many there are."""
        if self.merged:
            raise ValueError(f"{self.name} is merged; unmerge it before its entries are moved")
        weights = self.block_weights(adapter)
        if len(positions) != len(weights):
            raise ValueError(f"{self.name} has {len(weights)} row blocks, got positions for {len(positions)}")
        for flat, weight in zip(positions, weights, strict=True):
            if len(flat.unique()) < len(flat) or ((flat < 0) | (flat >= weight.numel())).any():
                raise ValueError(
                    f"positions in {self.name} must differ and lie in [0, {weight.numel()}), the entries of a block, "
                    f"got {len(flat.unique())} between {int(flat.min())} and {int(flat.max())} in {len(flat)}"
                )
        inputs = self.oriented_weight.shape[1]
        rows = [flat // inputs + start for flat, (start, _) in zip(positions, self.blocks[adapter], strict=True)]
        columns = [flat % inputs for flat in positions]
        both = torch.stack([torch.cat(rows), torch.cat(columns)])
        self.set_entries(adapter, both.to(self.weight.device, torch.int32))

    def set_entries(
        self,
        adapter: str,
        positions: Tensor,  # (2, K)
    ) -> None:
        """Give S2 these entries, rows over columns, all zero."""
        for entries in (self.dsee_s2, self.dsee_positions):
            if adapter in entries:
                del entries[adapter]
        u = self.dsee_u[adapter]
        count = positions.shape[1]
        if count > 0:
            self.dsee_s2[adapter] = nn.Parameter(u.new_zeros(count), requires_grad=u.requires_grad)
            self.dsee_positions[adapter] = positions
        counts = self.config[adapter].num_entries
        if isinstance(counts, dict):  # an int, until all modules have their adapter
            counts[self.name] = count

    def set_mask(
        self,
        adapter: str,
        mask: Tensor,  # (O, I), bool
    ) -> None:
        """Let the delta reach only the entries of W where `mask` is true, so that merging keeps the zeros of W."""
        if mask.shape != self.oriented_weight.shape:
            raise ValueError(
                f"the mask of {self.name} is {tuple(mask.shape)}, its weight {tuple(self.oriented_weight.shape)}"
            )
        self.dsee_masks[adapter] = mask.to(self.weight.device, torch.bool).contiguous()
        self.config[adapter].masked = True

    def rank(self, adapter: str = ADAPTER) -> int:
        """R."""
        return self.dsee_u[adapter].shape[1]

    def scale(self, adapter: str = ADAPTER) -> float:
        """s."""
        return self.scaling[adapter]

    def num_entries(self, adapter: str = ADAPTER) -> int:
        """K, of all blocks together."""
        return len(self.dsee_s2[adapter]) if adapter in self.dsee_s2 else 0

    @property
    def oriented_weight(self) -> Tensor:
        """W as (O, I), a view."""
        return self.weight.T if self.transposed else self.weight

    def block_weights(self, adapter: str) -> list[Tensor]:
        """The adapted rows of W, one (rows, I) view a block."""
        return [self.oriented_weight[start:stop] for start, stop in self.blocks[adapter]]

    def low_rank_delta(self, adapter: str = ADAPTER) -> Tensor:
        """U V as (O, I), without s, with gradients; rows outside the blocks are zero."""
        u, v = self.dsee_u[adapter], self.dsee_v[adapter]
        delta = u.new_zeros(self.oriented_weight.shape)
        parts = zip(self.blocks[adapter], self._by_block(u, adapter), v.split(u.shape[1]), strict=True)
        for (start, stop), block_u, block_v in parts:
            delta[start:stop] = block_u @ block_v
        return delta

    def sparse_delta(self, adapter: str = ADAPTER) -> Tensor:
        """S2 as (O, I), without s: for merging and scoring, the forward never makes it."""
        delta = self.dsee_u[adapter].detach().new_zeros(self.oriented_weight.shape)
        if adapter in self.dsee_s2:
            rows, columns = self.dsee_positions[adapter]
            delta[rows, columns] = self.dsee_s2[adapter].detach()
        return delta

    def get_delta_weight(self, adapter: str) -> Tensor:
        """s (U V + S2), masked where it is, laid out as the module's own weight, in the adapter's type."""
        delta = self.scaling[adapter] * (self.low_rank_delta(adapter).detach() + self.sparse_delta(adapter))
        if adapter in self.dsee_masks:
            delta = delta * self.dsee_masks[adapter]
        return delta.T if self.transposed else delta

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the adapters to W, in place; with `safe_merge`, only if the sum is finite.

        A W in 16 bits is added to in the adapter's type, and the sum is rounded once.
        """
        for adapter in check_adapters_to_merge(self, adapter_names):
            if adapter not in self.dsee_u:
                continue
            merged = (self.weight.data + self.get_delta_weight(adapter)).to(self.weight.dtype)
            if safe_merge and not merged.isfinite().all():
                raise ValueError(f"the adapter {adapter!r} of {self.name} makes its weight infinite or NaN; not merged")
            self.weight.data.copy_(merged)
            self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Take the merged adapters out of W again, to rounding."""
        while self.merged_adapters:
            self.weight.data.copy_(self.weight.data - self.get_delta_weight(self.merged_adapters.pop()))

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """(..., I) to (..., O): the frozen module's output plus that of each active adapter."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        result = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return result
        dtype = result.dtype
        for adapter in self.active_adapters:
            if adapter in self.dsee_u:
                result = self._add_delta(result, x, adapter)
        return result.to(dtype)

    def _add_delta(self, result: Tensor, x: Tensor, adapter: str) -> Tensor:
        """`result` + s (U V + S2) x."""
        v, scale = self.dsee_v[adapter], self.scaling[adapter]
        masked = adapter in self.dsee_masks
        # Under autocast both parts are to save one and the same low-precision x for the backward.
        x = x.to(result.dtype if torch.is_autocast_enabled(x.device.type) else v.dtype)
        dropped = self.dsee_dropout[adapter](x)
        if not masked:
            down = functional.linear(dropped, v) * scale  # here, where it is smallest
            result = result + self._up(down, result.shape[-1], adapter)
        else:  # a mask on U V leaves no way round the whole matrix
            result = result + functional.linear(
                dropped, scale * self.low_rank_delta(adapter) * self.dsee_masks[adapter]
            )
        if adapter in self.dsee_s2:
            values, positions = self.dsee_s2[adapter] * scale, self.dsee_positions[adapter]
            if masked:
                values = values * self.dsee_masks[adapter][tuple(positions.long())]
            result = AddEntries.apply(result, x, values, positions)
        return result

    def _up(
        self,
        down: Tensor,  # (..., B R)
        outputs: int,
        adapter: str,
    ) -> Tensor:  # (..., O), zero outside the blocks
        u, blocks = self.dsee_u[adapter], self.blocks[adapter]
        if blocks == [(0, outputs)]:
            return functional.linear(down, u)
        pieces, end = [], 0
        for (start, stop), block_u, block in zip(
            blocks, self._by_block(u, adapter), down.split(u.shape[1], -1), strict=True
        ):
            pieces += [down.new_zeros(*down.shape[:-1], start - end), functional.linear(block, block_u)]
            end = stop
        return torch.cat([*pieces, down.new_zeros(*down.shape[:-1], outputs - end)], -1)

    def _by_block(self, u: Tensor, adapter: str) -> tuple[Tensor, ...]:
        """The rows of U that belong to each block."""
        return u.split([stop - start for start, stop in self.blocks[adapter]])

    def scale_columns(self, factors: Tensor, adapter: str = ADAPTER) -> None:
        self.dsee_v[adapter].data.mul_(factors)
        if adapter in self.dsee_s2:
            self.dsee_s2[adapter].data.mul_(factors[self.dsee_positions[adapter][1].long()])

    def shrink(self, rows: Tensor | None, columns: Tensor | None, adapter: str = ADAPTER) -> None:
        """Keep these rows and columns. Entries of S2 outside them are gone, so K then differs from weight to weight."""
        if self.merged:
            raise ValueError(f"the adapter of {self.name} is merged; unmerge it before the weight is narrowed")
        if len(self.blocks[adapter]) > 1:
            raise ValueError(f"{self.name} is adapted in row blocks; only an adapter on all rows can be narrowed")
        u, v = self.dsee_u[adapter], self.dsee_v[adapter]
        if rows is not None:
            self.dsee_u[adapter] = nn.Parameter(u.detach()[rows.to(u.device)], requires_grad=u.requires_grad)
            self.blocks[adapter] = [(0, len(rows))]
        if columns is not None:
            self.dsee_v[adapter] = nn.Parameter(v.detach()[:, columns.to(v.device)], requires_grad=v.requires_grad)
        if adapter in self.dsee_masks:
            mask = self.dsee_masks[adapter]
            mask = mask if rows is None else mask[rows.to(mask.device)]
            self.dsee_masks[adapter] = mask if columns is None else mask[:, columns.to(mask.device)]
        if adapter in self.dsee_s2:
            positions, values = self.dsee_positions[adapter], self.dsee_s2[adapter].detach()
            moved = torch.stack([_renumber(positions[0], rows, len(u)), _renumber(positions[1], columns, v.shape[1])])
            stays = (moved >= 0).all(0)
            self.set_entries(adapter, moved[:, stays])
            if stays.any():
                self.dsee_s2[adapter].data.copy_(values[stays])


def _renumber(
    positions: Tensor,  # (K,)
    kept: Tensor | None,
    count: int,
) -> Tensor:  # (K,), -1 where the row or column is gone
    """Where these rows (or columns) of `count` are once only `kept` are left."""
    if kept is None:
        return positions
    new = torch.full((count,), -1, dtype=positions.dtype, device=positions.device)
    new[kept.to(positions.device)] = torch.arange(len(kept), dtype=positions.dtype, device=positions.device)
    return new[positions.long()]
