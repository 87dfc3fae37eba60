"""Load an exported folder as a transformers model: shaped by its manifest, every weight filled, nothing trusted."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel
from transformers.initialization import no_init_weights

from dsee_bench.adapters.removal import remove
from dsee_bench.deploy import manifest
from dsee_bench.deploy.manifest import Manifest
from dsee_bench.deploy.storage import PARTS, expand
from dsee_bench.deploy.untrusted import adapter_config, check_memory, config_of, header, refused
from dsee_bench.models.fused import join, split
from dsee_bench.models.low_precision import compute_wide
from dsee_bench.models.position_bias import make_narrowable, set_columns
from dsee_bench.pruning.surgery import head_groups, neurons
from dsee_bench.tasks.example import CAUSAL

Header = Mapping[str, tuple[tuple[int, ...], str]]  # of a file of weights: shape and type by name
ADAPTER = "adapter"  # the folder of an adapter that lies apart, in PEFT's form


def load(folder: str | os.PathLike[str]) -> PreTrainedModel:
    """Return the exported model, in eval mode on the CPU; ValueError for a folder that is not whole or not of ours.

    Weights that the file has in 16 bits stay so, and compute in float32 (models/low_precision.py).
    """
    folder = Path(folder)
    exported = manifest.read(folder)
    tensors = header(folder / exported.weights)
    config = config_of(folder, len(tensors))
    stored = config.dtype  # from_config writes another one there
    with refused(folder), torch.device("meta"):
        empty = _store(_shaped(config, exported), stored, tensors)
    _check_header(empty, tensors, exported, folder)
    with refused(folder):
        model = _store(_shaped(config, exported), stored, tensors)
        _fill(model, _read_tensors(folder, exported, model), folder)
        compute_wide(model)
        if exported.adapter == "apart":
            model = _attach_adapter(model, folder / ADAPTER)
        _check_finite(model, folder)
        return model.eval()


def _shaped(config: Any, exported: Manifest) -> PreTrainedModel:
    """A model of the exported one's shapes, with no values."""
    cls: Any = AutoModelForCausalLM if exported.task["kind"] in CAUSAL else AutoModelForSequenceClassification
    with no_init_weights():
        model: PreTrainedModel = cls.from_config(config, trust_remote_code=False, dtype=torch.float32)
    model.tie_weights()  # which no_init_weights leaves out
    split(model)
    make_narrowable(model)
    if exported.narrowed:
        heads = [torch.arange(count) for count in head_groups(exported.spec)]
        remove(model, exported.spec, {}, heads, [torch.arange(count) for count in neurons(exported.spec)])
        if exported.spec.head_columns:
            set_columns(model, exported.spec)
    if exported.adapter != "apart":
        join(model)
    return model


def _store(model: PreTrainedModel, dtype: torch.dtype | None, tensors: Header) -> PreTrainedModel:
    """Return the model with the parameters that the file has in the configuration's type in that type."""
    for name, parameter in model.named_parameters(remove_duplicate=False):
        for written in (name, f"{name}:values"):  # whole, or compressed
            if written in tensors and f"torch.{tensors[written][1]}" == str(dtype):
                parameter.data = parameter.data.to(dtype)
    model.config.dtype = dtype
    return model


def _check_header(empty: PreTrainedModel, tensors: Header, exported: Manifest, folder: Path) -> None:
    """ValueError, before memory is taken, unless the file's tensors (shape and type) are those of the model."""
    path = folder / exported.weights
    state = empty.state_dict().values()
    check_memory(sum(value.numel() for value in state), sum(value.nbytes for value in state), path)
    values = dict(empty.named_parameters(remove_duplicate=False))
    tied = {id(value) for name, value in values.items() if name in tensors}
    for name, value in empty.state_dict().items():
        if name in exported.compressed or (id(values.get(name)) in tied - {id(None)} and name not in tensors):
            continue
        if name not in tensors:
            raise ValueError(f"{path} has no {name}, which its configuration asks for; export the model again")
        shape, dtype = tensors[name]
        if shape != tuple(value.shape) or f"torch.{dtype}" != str(value.dtype):
            raise ValueError(f"{path} has {name} as {dtype} {shape}, its configuration asks for {tuple(value.shape)}")


def _read_tensors(folder: Path, exported: Manifest, model: PreTrainedModel) -> dict[str, Tensor]:
    tensors = load_file(folder / exported.weights)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in exported.compressed:
        try:
            parts = {part: tensors.pop(f"{name}:{part}") for part in PARTS[exported.storage]}
            tensors[name] = expand(parts, shapes[name], exported.storage)  # type: ignore[arg-type]
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError) as error:
            raise ValueError(f"{name} in {folder / exported.weights} cannot be read: {error}") from error
    return tensors


def _fill(model: PreTrainedModel, tensors: dict[str, Tensor], folder: Path) -> None:
    """Load the tensors; every parameter must get one, its own or that of a name it shares memory with."""
    try:
        result = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise ValueError(f"the weights in {folder} do not fit its configuration: {error}") from error
    filled = {value.data_ptr() for name, value in model.state_dict().items() if name in tensors}
    missing = [name for name in result.missing_keys if model.state_dict()[name].data_ptr() not in filled]
    if odd := [*missing, *result.unexpected_keys]:
        raise ValueError(f"{folder} does not hold the model that its configuration names: {odd[0]} ({len(odd)} in all)")


def _attach_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Attach the adapter of `folder`; ValueError for missing tensors, of which PEFT only warns."""
    from peft import get_peft_model, set_peft_model_state_dict

    adapted = get_peft_model(model, adapter_config(folder))
    result = set_peft_model_state_dict(adapted, load_file(folder / "adapter_model.safetensors"))
    prefix = adapted.base_model.prefix
    if odd := [*(name for name in result.missing_keys if prefix in name), *result.unexpected_keys]:
        raise ValueError(f"the adapter in {folder} does not fit the model: {odd[0]} ({len(odd)} in all)")
    return adapted.base_model.model


def _check_finite(model: PreTrainedModel, folder: Path) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(f"{folder}: {name} has entries that are NaN or infinite; train the model again")
