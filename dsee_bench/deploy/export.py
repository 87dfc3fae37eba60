"""A finished model in a folder of its own: smaller on disk where it has zeros, narrow where parts are gone.

A folder that is neither narrowed, compressed nor has its adapter apart loads with transformers' own from_pretrained;
`load` reads all of them. In the others the weights are in `weights.safetensors`, which from_pretrained does not look
for: it must fail there rather than give back half a model.
"""

import copy
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsee_bench.adapters.adalora import every_rank
from dsee_bench.config.launch import Folding, Storage
from dsee_bench.deploy import manifest
from dsee_bench.deploy.load import ADAPTER, HEADS
from dsee_bench.deploy.manifest import Manifest, check_target
from dsee_bench.deploy.onnx_file import ONNX_FILE, write_onnx
from dsee_bench.deploy.storage import compress, size
from dsee_bench.models.access import weight_of
from dsee_bench.models.fused import join, split
from dsee_bench.models.spec import ModelSpec
from dsee_bench.system.files import kind
from dsee_bench.system.folders import half_made, half_name, share
from dsee_bench.tasks.example import Task


def export(
    model: PreTrainedModel,
    tuner: Any,  # PEFT's, None where no adapter is attached
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    folder: Path,
    *,
    backbone: str,
    folding: Folding,
    storage: Storage,
    force: bool,
    run_id: str | None = None,
    onnx: bool = False,
) -> Manifest:
    """Write the model to `folder`, whole or not at all, with `onnx` as ONNX too; the model given stays as it is."""
    folder = Path(os.path.abspath(folder))
    check_target(folder, force, run_id)
    plain, folded, adapter = detached(model, tuner, spec, folding)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with half_made(folder) as making:
        _name_labels(plain, task)
        plain.config.save_pretrained(making)
        if task.kind == "generation":
            plain.generation_config.save_pretrained(making)
        tokenizer.save_pretrained(making)
        if adapter is not None:
            _save_adapter(adapter, making / ADAPTER)
        sites = _sites(plain, spec)
        if adapter is None:  # an adapter that lies apart sits on the parts of a fused weight
            join(plain)
        parameters, attributes = _narrowed(plain, _head(task), parts=adapter is not None)
        by_transformers = storage == "dense" and adapter is None and not parameters
        weights = "model.safetensors" if by_transformers else "weights.safetensors"
        tensors, compressed = _tensors(plain, spec, storage)
        save_file(tensors, making / weights, metadata={"format": "pt"})
        if onnx:
            write_onnx(plain if adapter is None else _merged(model, tuner, spec), tokenizer, making / ONNX_FILE)
        share(making)
        described = Manifest(
            backbone=backbone,
            task={"name": task.name, "kind": task.kind, "labels": list(task.labels)},
            head=_head(task),
            update=folded,
            storage=storage,
            weights=weights,
            compressed=compressed,
            sites=sites,
            heads=spec.attention,
            parameters=parameters,
            attributes=attributes,
            files=manifest.describe_files(making),
            run_id=run_id,
        )
        manifest.write(described, making)
        _put(making, folder, lambda old: check_target(old, force, run_id))
    return described


def detached(
    model: PreTrainedModel, tuner: Any, spec: ModelSpec, folding: Folding
) -> tuple[PreTrainedModel, manifest.Folded, Any]:
    """A copy of the model without adapter modules, what became of the adapter, and its tuner where it lies apart."""
    if tuner is None:
        return copy.deepcopy(model), "none", None
    copied = copy.deepcopy(tuner)
    fold = folding == "merged" or (folding == "auto" and all(w.merges for w in spec.weights if w.adapter))
    return (copied.merge_and_unload(), "merged", None) if fold else (copied.unload(), "apart", tuner)


def _merged(model: PreTrainedModel, tuner: Any, spec: ModelSpec) -> PreTrainedModel:
    """A copy with the adapter merged, in transformers' own modules."""
    plain, _, _ = detached(model, tuner, spec, "merged")
    join(plain)
    return plain


def _head(task: Task) -> Literal["classifier", "language_model"]:
    return "language_model" if task.kind == "generation" else "classifier"


def _name_labels(model: PreTrainedModel, task: Task) -> None:
    model.config.architectures = [type(model).__name__]
    if task.kind == "classification":
        model.config.id2label = dict(enumerate(task.labels))
        model.config.label2id = {label: index for index, label in enumerate(task.labels)}


def _save_adapter(tuner: Any, folder: Path) -> None:
    """The adapter as PeftModel.from_pretrained reads it."""
    from peft import get_peft_model_state_dict

    folder.mkdir()
    config = tuner.peft_config["default"]
    with every_rank(config):
        found = get_peft_model_state_dict(tuner)
        config.save_pretrained(folder)
    tensors = {
        f"base_model.{name}": tensor.contiguous().clone() for name, tensor in found.items()
    }  # none shares memory
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _narrowed(
    model: PreTrainedModel, head: str, *, parts: bool
) -> tuple[dict[str, tuple[int, ...]], dict[str, dict[str, int]]]:
    """What of the model is not as its configuration says: parameters' shapes, and whole numbers of its modules."""
    with torch.device("meta"):
        fresh = HEADS[head].from_config(model.config)
        if parts:
            split(fresh)
    expected = {name: tuple(parameter.shape) for name, parameter in fresh.named_parameters()}
    found = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    if expected.keys() != found.keys():
        odd = sorted(expected.keys() ^ found.keys())
        raise ValueError(f"the model cannot be rebuilt from its configuration: {odd[0]} ({len(odd)} parameters differ)")
    parameters = {name: shape for name, shape in found.items() if shape != expected[name]}
    modules = dict(fresh.named_modules())
    attributes = {name: _numbers(module, modules[name]) for name, module in model.named_modules() if name in modules}
    return parameters, {name: changed for name, changed in attributes.items() if changed}


def _numbers(module: nn.Module, fresh: nn.Module) -> dict[str, int]:
    """Public attributes of type int that differ from those of `fresh`: numbers of heads and features."""
    return {
        name: value
        for name, value in vars(module).items()
        if type(value) is int and not name.startswith("_") and value != vars(fresh).get(name, value)
    }


def _tensors(model: PreTrainedModel, spec: ModelSpec, storage: Storage) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """What goes into the file, one tensor for all names that share it, and the names that are compressed."""
    paths = {weight.site.path for weight in spec.weights}
    prunable = {f"{path}.weight" for path in paths | {path.rpartition(".")[0] for path in paths}}  # or fused again
    tensors: dict[str, Tensor] = {}
    compressed: list[str] = []
    seen: set[int] = set()
    for name, tensor in model.state_dict().items():
        if tensor.numel() and tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        parts = compress(tensor, storage) if storage != "dense" and name in prunable else None
        if parts is not None and size(parts) < tensor.numel() * tensor.element_size():
            tensors |= {f"{name}:{part}": value.cpu() for part, value in parts.items()}
            compressed.append(name)
        else:
            tensors[name] = tensor.cpu().contiguous()
    return tensors, tuple(compressed)


def _sites(model: PreTrainedModel, spec: ModelSpec) -> dict[str, manifest.SiteSize]:
    found: dict[str, manifest.SiteSize] = {}
    for weight in spec.weights:
        seen = weight_of(model, weight.site)
        found[weight.site.path] = {"shape": list(seen.shape), "nnz": int(seen.count_nonzero())}
    return found


def _put(making: Path, folder: Path, check: Callable[[Path], None]) -> None:
    """Rename the whole new folder into place; what it replaces goes only once it is there, and once it was looked at
    where nobody else finds it: another program may have put something in its place meanwhile."""
    aside = half_name(folder)
    try:
        if kind(folder) == "a folder" and any(folder.iterdir()):
            folder.rename(aside)
            check(aside)
        os.rename(making, folder)  # the system puts a folder in the place of nothing or an empty folder only
    except (OSError, ValueError) as error:
        if kind(aside) is not None and kind(folder) is None:
            aside.rename(folder)
        raise ValueError(f"the model cannot be put in place: {error}; give another export=DIR") from error
    if kind(aside) is not None:
        shutil.rmtree(aside)
