"""An exported folder back as a transformers model: shaped by its manifest, every weight filled, none taken on trust."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights

from dsee_bench.deploy import manifest
from dsee_bench.deploy.manifest import Manifest
from dsee_bench.deploy.storage import PARTS, expand
from dsee_bench.deploy.untrusted import adapter_config, check_memory, config_of, header, refused
from dsee_bench.models.fused import split

ADAPTER = "adapter"  # the folder of an adapter that lies apart, in PEFT's form
HEADS: Mapping[str, Any] = {"classifier": AutoModelForSequenceClassification, "language_model": AutoModelForCausalLM}


def load(folder: str | os.PathLike[str]) -> PreTrainedModel:
    """The exported model, in eval mode on the CPU; ValueError for a folder that is not whole or not one of ours."""
    folder = Path(folder)
    described = manifest.read(folder)
    there = header(folder / described.weights)
    config = config_of(folder, len(there))
    with refused(folder), torch.device("meta"):
        spec = _shaped(config, described, folder)
    _check_header(spec, there, described, folder)
    with refused(folder):
        model = _shaped(config, described, folder)
        _fill(model, _read_tensors(folder, described, model), folder)
        if described.update == "apart":
            model = _attach_adapter(model, folder / ADAPTER)
        _check_finite(model, folder)
        return model.eval()


def _shaped(config: Any, described: Manifest, folder: Path) -> PreTrainedModel:
    """A model of the exported one's shapes, with no values."""
    with no_init_weights():
        model = HEADS[described.head].from_config(config, trust_remote_code=False, dtype=torch.float32)
    if described.update == "apart":
        split(model)
    _narrow(model, described, folder)
    return model


def _check_header(
    spec: PreTrainedModel, there: Mapping[str, tuple[tuple[int, ...], str]], described: Manifest, folder: Path
) -> None:
    """ValueError, before memory is taken, unless the file's tensors are those of the model."""
    where = folder / described.weights
    check_memory(sum(value.numel() for value in spec.state_dict().values()), where)
    values = dict(spec.named_parameters(remove_duplicate=False))
    tied = {id(value) for name, value in values.items() if name in there}
    for name, value in spec.state_dict().items():
        if name in described.compressed or (id(values.get(name)) in tied - {id(None)} and name not in there):
            continue
        if name not in there:
            raise ValueError(f"{where} has no {name}, which its configuration asks for; export the model again")
        shape, dtype = there[name]
        if shape != tuple(value.shape) or f"torch.{dtype}" != str(value.dtype):
            raise ValueError(f"{where} has {name} as {dtype} {shape}, its configuration asks for {tuple(value.shape)}")


def _check_finite(model: PreTrainedModel, folder: Path) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(
                f"{folder}: {name} has entries that are no numbers (NaN or infinite); train the model again"
            )


def _narrow(model: PreTrainedModel, described: Manifest, folder: Path) -> None:
    """Give the model, fresh from its configuration, the shapes and numbers of the exported one."""
    where = folder / manifest.NAME
    for name, shape in described.parameters.items():
        path, _, leaf = name.rpartition(".")
        parent = _module(model, path, folder)
        full = dict(parent.named_parameters(recurse=False)).get(leaf)
        if full is None or not _fits(shape, full.shape):
            raise ValueError(f"{where} asks {name} to be {shape}, which its configuration has no room for")
        setattr(parent, leaf, nn.Parameter(full.new_empty(tuple(shape)), requires_grad=full.requires_grad))
    for path, numbers in described.attributes.items():
        module = _module(model, path, folder)
        for name, value in numbers.items():
            now = vars(module).get(name)
            if type(now) is not int or not 0 <= value <= now:
                raise ValueError(f"{where} sets {path}.{name}={value!r}, which is no number of that module")
            setattr(module, name, value)


def _fits(shape: Sequence[int], full: Sequence[int]) -> bool:
    return len(shape) == len(full) and all(0 < new <= old for new, old in zip(shape, full, strict=True))


def _module(model: PreTrainedModel, path: str, folder: Path) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        raise ValueError(f"{folder / manifest.NAME} names a module {path}, which the model lacks") from error


def _read_tensors(folder: Path, described: Manifest, model: PreTrainedModel) -> dict[str, Tensor]:
    tensors = load_file(folder / described.weights)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in described.compressed:
        try:
            parts = {part: tensors.pop(f"{name}:{part}") for part in PARTS[described.storage]}
            tensors[name] = expand(parts, shapes[name], described.storage)  # type: ignore[arg-type]
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError) as error:
            raise ValueError(f"{name} in {folder / described.weights} cannot be read: {error}") from error
    return tensors


def _fill(model: PreTrainedModel, tensors: dict[str, Tensor], folder: Path) -> None:
    """Load the tensors; every parameter must get one, its own or that of a name it shares memory with."""
    try:
        found = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise ValueError(f"the weights in {folder} do not fit its configuration: {error}") from error
    filled = {value.data_ptr() for name, value in model.state_dict().items() if name in tensors}
    missing = [name for name in found.missing_keys if model.state_dict()[name].data_ptr() not in filled]
    if missing or found.unexpected_keys:
        odd = [*missing, *found.unexpected_keys]
        raise ValueError(f"{folder} does not hold the model that its configuration names: {odd[0]} ({len(odd)} in all)")


def _attach_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with the adapter of `folder` beside its weights; PEFT only warns of tensors that are not there."""
    from peft import get_peft_model, set_peft_model_state_dict

    adapted = get_peft_model(model, adapter_config(folder))
    tensors = load_file(folder / "adapter_model.safetensors")
    found = set_peft_model_state_dict(adapted, tensors)
    prefix = adapted.base_model.prefix
    odd = [*(name for name in found.missing_keys if prefix in name), *found.unexpected_keys]
    if odd:
        raise ValueError(f"the adapter in {folder} does not fit the model: {odd[0]} ({len(odd)} in all)")
    return adapted.base_model.model
