"""Start from another run's adapter, as LoRA does: MRPC, RTE and STS-B from that of the MNLI run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from dsee_bench import record
from dsee_bench.cache.listing import TENSORS
from dsee_bench.cache.store import keys
from dsee_bench.config import digest
from dsee_bench.config.validate import build
from dsee_bench.stages.stage import RunState
from dsee_bench.stages.tune import Tune
from dsee_bench.system.folders import is_whole


def start_from(
    state: RunState, run_id: str, config: Mapping[str, Any], states: Path, inputs: Mapping[str, Any]
) -> None:
    """Give the adapter in `state` the values of that run's last tuning; the task head stays new.

    The positions of the sparse entries come with it. ValueError where that run, its cached state or its shapes differ.
    """
    tensors = _state_of(run_id, config, states, inputs) / TENSORS
    assert state.adapters is not None  # the plan saw an adapter
    adapter = {name: value for name, value in state.model.state_dict().items() if state.adapters.prefix in name}
    with safe_open(tensors, framework="pt") as file:
        names = set(file.keys())
        for name, value in adapter.items():
            shape = tuple(file.get_slice(name).get_shape()) if name in names else None
            if shape != tuple(value.shape):
                raise ValueError(
                    f"init_from={run_id} has no {name} of shape {tuple(value.shape)} but {shape}; use the same "
                    "settings of the adapter (rank, num_entries, kinds) in both"
                )
        with torch.no_grad():
            for name, value in adapter.items():
                value.copy_(file.get_tensor(name))


def _state_of(run_id: str, config: Mapping[str, Any], states: Path, inputs: Mapping[str, Any]) -> Path:
    """Return the cached state after the last tuning of the run; ValueError where that run does not fit."""
    path = record.path_of(run_id, states.parents[1])
    if not path.is_file():
        raise ValueError(f"init_from={run_id}: there is no record {path}; run that experiment first")
    source = record.read(path)
    if source.status != "finished":
        raise ValueError(f"init_from={run_id}: that run is {source.status}; run it to its end first")
    if digest(source.config["backbone"]) != digest(config["backbone"]):
        raise ValueError(
            f"init_from={run_id} is of backbone {source.config['backbone']['name']} or other settings of it, this run "
            f"of {config['backbone']['name']}; an adapter fits the weights it was made for"
        )
    data = {name: split["sha256"] for name, split in source.data.items()}
    stages = source.config["method"]["stages"]
    after = zip(keys(source.config, {**inputs, "data": data}), stages.items(), strict=True)
    tuned = [key for key, (name, stage) in after if isinstance(build(stage, f"method.stages.{name}"), Tune)]
    if not tuned or not is_whole(states / tuned[-1]):
        raise ValueError(
            f"init_from={run_id}: its last state is gone from {states}, or damaged; run it again with force=true"
        )
    theirs, ours = _alpha(stages), _alpha(config["method"]["stages"])
    if theirs != ours:
        raise ValueError(
            f"init_from={run_id}: alpha is {theirs} there and {ours} here, which scales the adapter; use one"
        )
    return states / tuned[-1]


def _alpha(stages: Mapping[str, Any]) -> float | None:
    """Return what the adapter is scaled by, before the rank divides it; None where its method has no such number."""
    alphas = [stage.get("alpha", (stage.get("settings") or {}).get("lora_alpha")) for stage in stages.values()]
    return next((alpha for alpha in alphas if alpha is not None), None)
