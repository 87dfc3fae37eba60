"""Adapters on the parts of a fused weight, as one adapter on the whole weight, which transformers' own model has.

Low-rank deltas of P parts are one of rank R = R_1 + ... + R_P: each part has rows of B and columns of A of its own, and
zeros elsewhere. So LoRA stays LoRA; AdaLoRA and VeRA become LoRA, for neither has such zeros. DSEE has blocks of rows,
and IA3 a factor for each output.

Letters: O outputs of the whole weight, P parts, R rank, I inputs, K entries of S2.
"""

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from dsee_bench.adapters.protocol import ADAPTER
from dsee_bench.models.fused import Fused

LowRank = tuple[Tensor, Tensor, float]  # B (O, R), A (R, I), scale


def on_whole_weights(adapters: Any, state: dict[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
    """Return PEFT's configuration and tensors for the model whose fused weights are whole again.

    `state` is the adapter's as it lies; ValueError for a method that has no such form.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    config = copy.deepcopy(adapters.peft_config[ADAPTER])
    layers = {name: module for name, module in adapters.model.named_modules() if isinstance(module, BaseTunerLayer)}
    config.target_modules = sorted(layers)
    fused = {
        name: module
        for name, module in adapters.model.named_modules()
        if isinstance(module, Fused) and any(f"{name}.{part}" in layers for part in module.parts)
    }
    if not fused:
        return config, state
    method = str(getattr(config.peft_type, "value", config.peft_type))
    if method not in METHODS:
        raise ValueError(f"{method} on a part of {next(iter(fused))} has no form on the whole weight")
    return METHODS[method](config, layers, fused, state)


def _parts(name: str, module: Fused, layers: Mapping[str, Any]) -> list[tuple[Any, Tensor]]:
    """Return the adapted parts of a fused module, with the rows of the whole weight that each has."""
    paths = [(f"{name}.{part}", rows) for part, rows in zip(module.parts, module.rows(), strict=True)]
    return [(layers[path], rows) for path, rows in paths if path in layers]


def _alone(layers: Mapping[str, Any], fused: Mapping[str, Fused]) -> dict[str, Any]:
    """Return the adapted modules that are no part of a fused one."""
    return {name: layer for name, layer in layers.items() if name.rpartition(".")[0] not in fused}


def _as_lora(
    config: Any, layers: Mapping[str, Any], fused: Mapping[str, Fused], state: Mapping[str, Tensor]
) -> tuple[Any, dict[str, Tensor]]:
    from peft import LoraConfig

    found = {name: _low_rank(layer) for name, layer in _alone(layers, fused).items()}
    for name, module in fused.items():
        parts = [(_low_rank(layer), rows) for layer, rows in _parts(name, module, layers)]
        outputs = sum(len(rows) for rows in module.rows())
        scale = parts[0][0][2]
        a = torch.cat([part_a * (part_scale / scale) for (_, part_a, part_scale), _ in parts])
        b = a.new_zeros(outputs, len(a))
        ranks = [len(part_a) for (_, part_a, _), _ in parts]
        starts = torch.tensor([0, *ranks]).cumsum(0).tolist()
        for ((part_b, _, _), rows), (start, stop) in zip(parts, pairwise(starts), strict=True):
            b[rows, start:stop] = part_b
        found[name] = b, a, scale
    ranks_of = {name: len(a) for name, (_, a, _) in found.items()}
    whole = LoraConfig(
        r=min(ranks_of.values()),
        target_modules=sorted(found),
        rank_pattern=ranks_of,
        alpha_pattern={name: float(scale * len(a)) for name, (_, a, scale) in found.items()},
    )
    whole.target_modules = sorted(found)
    tensors = {}
    for name, (b, a, _) in found.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = a.detach().cpu().contiguous().clone()
        tensors[f"base_model.model.{name}.lora_B.weight"] = b.detach().cpu().contiguous().clone()
    return whole, tensors


def _low_rank(layer: Any) -> LowRank:
    """Return the delta of a layer of LoRA, AdaLoRA or VeRA, as LoRA has it."""
    if hasattr(layer, "vera_lambda_d"):
        inputs, outputs = layer.in_features, layer.out_features
        b = layer.vera_lambda_b[ADAPTER][:, None] * layer.vera_B[ADAPTER][:outputs]
        return b, layer.vera_lambda_d[ADAPTER][:, None] * layer.vera_A[ADAPTER][:, :inputs], 1.0
    scale = float(layer.scaling[ADAPTER])
    if hasattr(layer, "lora_E"):
        factors = layer.lora_E[ADAPTER] / (layer.ranknum[ADAPTER] + 1e-5)  # as PEFT's forward has it
        return layer.lora_B[ADAPTER], layer.lora_A[ADAPTER] * factors, scale
    return layer.lora_B[ADAPTER].weight, layer.lora_A[ADAPTER].weight, scale


def _as_ia3(
    config: Any, layers: Mapping[str, Any], fused: Mapping[str, Fused], state: Mapping[str, Tensor]
) -> tuple[Any, dict[str, Tensor]]:
    alone = _alone(layers, fused)
    tensors = _of(alone, state)
    for name, module in fused.items():
        factors = torch.ones(sum(len(rows) for rows in module.rows()), 1)
        for layer, rows in _parts(name, module, layers):
            factors[rows] = layer.ia3_l[ADAPTER].detach().cpu()
        tensors[f"base_model.model.{name}.ia3_l"] = factors
    config.target_modules = sorted([*alone, *fused])
    config.feedforward_modules = sorted(name for name, layer in alone.items() if layer.is_feedforward)
    return config, tensors


def _as_dsee(
    config: Any, layers: Mapping[str, Any], fused: Mapping[str, Fused], state: Mapping[str, Tensor]
) -> tuple[Any, dict[str, Tensor]]:
    alone = _alone(layers, fused)
    tensors = _of(alone, state)
    counts = {name: layer.num_entries() for name, layer in alone.items()}
    blocks_of = {}
    for name, module in fused.items():
        parts = _parts(name, module, layers)
        outputs = sum(len(rows) for rows in module.rows())
        runs = sorted((start, stop, part) for part, (_, rows) in enumerate(parts) for start, stop in _runs(rows))
        blocks_of[name] = [[start, stop] for start, stop, _ in runs]
        part_u = [_scattered(layer.dsee_u[ADAPTER], rows, outputs) for layer, rows in parts]
        found = {
            "dsee_u": torch.cat([part_u[part][start:stop] for start, stop, part in runs]),
            "dsee_v": torch.cat([parts[part][0].dsee_v[ADAPTER] for _, _, part in runs]),
        }
        with_entries = [(layer, rows) for layer, rows in parts if layer.num_entries()]
        if with_entries:
            found["dsee_s2"] = torch.cat([layer.dsee_s2[ADAPTER] for layer, _ in with_entries])
            found["dsee_positions"] = torch.cat(
                [_moved(layer.dsee_positions[ADAPTER], rows) for layer, rows in with_entries], 1
            )
        if ADAPTER in parts[0][0].dsee_masks:
            mask = torch.ones(outputs, parts[0][0].oriented_weight.shape[1], dtype=torch.bool)
            for layer, rows in parts:
                mask[rows] = layer.dsee_masks[ADAPTER].cpu()
            found["dsee_masks"] = mask
        counts[name] = sum(layer.num_entries() for layer, _ in parts)
        tensors |= {
            f"base_model.model.{name}.{key}": value.detach().cpu().contiguous().clone() for key, value in found.items()
        }
    config.num_entries, config.row_blocks = counts, blocks_of
    config.target_modules = sorted([*alone, *fused])
    return config, tensors


def _of(layers: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of these modules."""
    tops = tuple(f"base_model.model.{name}." for name in layers)
    return {name: value for name, value in state.items() if name.startswith(tops)}


def _runs(rows: Tensor) -> Sequence[tuple[int, int]]:
    """Return the runs [start, stop) of consecutive numbers in ascending `rows`."""
    breaks = [0, *(i + 1 for i, (one, other) in enumerate(pairwise(rows.tolist())) if other != one + 1), len(rows)]
    return [(int(rows[start]), int(rows[stop - 1]) + 1) for start, stop in pairwise(breaks)]


def _scattered(u: Tensor, rows: Tensor, outputs: int) -> Tensor:
    whole = u.detach().new_zeros(outputs, u.shape[1])
    whole[rows] = u.detach()
    return whole


def _moved(
    positions: Tensor,  # (2, K), rows of the part over columns
    rows: Tensor,
) -> Tensor:  # (2, K), rows of the whole weight
    moved = positions.clone()
    moved[0] = rows.to(positions.device)[positions[0].long()].to(positions.dtype)
    return moved


METHODS = {"LORA": _as_lora, "ADALORA": _as_lora, "VERA": _as_lora, "IA3": _as_ia3, "DSEE": _as_dsee}
