"""An exported folder back as a transformers model: shaped by its manifest, every weight filled, none taken on trust."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights

from dsee_bench.backbones.fused import split
from dsee_bench.deploy import manifest
from dsee_bench.deploy.manifest import Manifest
from dsee_bench.sparse.storage import PARTS, expand

ADAPTER = "adapter"  # the folder of an update that lies apart, in PEFT's form
HEADS: Mapping[str, Any] = {"classifier": AutoModelForSequenceClassification, "language_model": AutoModelForCausalLM}


def load(folder: str | os.PathLike[str]) -> PreTrainedModel:
    """The exported model, in eval mode on the CPU; ValueError for a folder that is not whole or not one of ours."""
    folder = Path(folder)
    described = manifest.read(folder)
    if described.head not in HEADS:
        raise ValueError(f"{folder} has a head {described.head!r}; there is {', '.join(HEADS)}")
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with no_init_weights():
        model = HEADS[described.head].from_config(config, trust_remote_code=False)
    if described.update == "apart":
        split(model)
    _narrow(model, described, folder)
    _fill(model, _read_tensors(folder, described, model), folder)
    if described.update == "apart":
        model = _attach_adapter(model, folder / ADAPTER)
    return model.eval()


def _narrow(model: PreTrainedModel, described: Manifest, folder: Path) -> None:
    """Give the model, fresh from its configuration, the shapes and numbers of the exported one."""
    where = folder / manifest.NAME
    for name, shape in described.parameters.items():
        path, _, leaf = name.rpartition(".")
        parent = _module(model, path, folder)
        full = getattr(parent, leaf, None)
        if not isinstance(full, nn.Parameter) or not _fits(shape, full.shape):
            raise ValueError(f"{where} asks {name} to be {shape}, which its configuration has no room for")
        setattr(parent, leaf, nn.Parameter(full.new_empty(tuple(shape)), requires_grad=full.requires_grad))
    for path, numbers in described.attributes.items():
        module = _module(model, path, folder)
        for name, value in numbers.items():
            if type(vars(module).get(name)) is not int or type(value) is not int:
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
        except (KeyError, ValueError) as error:
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
    """The model with the update of `folder` beside its weights; PEFT only warns of tensors that are not there."""
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict

    import dsee_bench.dsee  # noqa: F401  # makes the DSEE update known to PEFT

    adapted = get_peft_model(model, PeftConfig.from_pretrained(folder))
    tensors = load_file(folder / "adapter_model.safetensors")
    found = set_peft_model_state_dict(adapted, tensors)
    prefix = adapted.base_model.prefix
    odd = [*(name for name in found.missing_keys if prefix in name), *found.unexpected_keys]
    if odd:
        raise ValueError(f"the update in {folder} does not fit the model: {odd[0]} ({len(odd)} in all)")
    return adapted.base_model.model
