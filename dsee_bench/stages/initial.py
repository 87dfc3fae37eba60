"""Start from another run's update, as LoRA does: MRPC, RTE and STS-B from the adapter of the MNLI run."""

from collections.abc import Mapping
from typing import Any

import torch
from safetensors import safe_open

from dsee_bench import record
from dsee_bench.stages.kept import TENSORS
from dsee_bench.stages.stage import RunState
from dsee_bench.stages.store import Store, keys


def start_from(
    state: RunState, run_id: str, config: Mapping[str, Any], store: Store, inputs: Mapping[str, Any]
) -> None:
    """Give the update that stands in `state` the values of that run's last tuning; the task head stays new.

    The positions of the sparse entries come with it. ValueError where that run, its kept state or its shapes differ.
    """
    path = record.path_of(run_id, store.folder.parents[1])
    if not path.is_file():
        raise ValueError(f"init_from={run_id}: there is no record {path}; run that experiment first")
    source = record.read(path)
    if source.status != "ok":
        raise ValueError(f"init_from={run_id}: that run is {source.status}; run it to its end first")
    if source.config["backbone"] != config["backbone"]:
        raise ValueError(
            f"init_from={run_id} is of backbone {source.config['backbone']['name']} or other settings of it, this run "
            f"of {config['backbone']['name']}; an update fits the weights it was made for"
        )
    data = {name: split["sha256"] for name, split in source.data.items()}
    kept = [key for key in keys(source.config, {**inputs, "data": data}) if store.has(key)]
    if not kept:
        raise ValueError(f"init_from={run_id}: its states are gone from {store.folder}; run it again with force=true")
    assert state.tuner is not None  # the plan saw an update
    update = {name: value for name, value in state.model.state_dict().items() if state.tuner.prefix in name}
    with safe_open(store.folder / kept[-1] / TENSORS, framework="pt") as file:
        there = set(file.keys())
        for name, value in update.items():
            shape = tuple(file.get_slice(name).get_shape()) if name in there else None
            if shape != tuple(value.shape):
                raise ValueError(
                    f"init_from={run_id} has no {name} of shape {tuple(value.shape)} but {shape}; use the same update "
                    "settings (rank, kept, kinds) in both"
                )
        with torch.no_grad():
            for name, value in update.items():
                value.copy_(file.get_tensor(name))
