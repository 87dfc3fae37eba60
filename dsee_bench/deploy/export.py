"""Export a finished model to a folder of its own: smaller on disk where it has zeros, narrow where parts are removed.

`load` reads every export. Two forms load without this project: a model that is neither narrowed, compressed nor has its
adapter apart is transformers' own, and an adapter apart lies as PEFT's own, with the model under it in `base/`. In all
others the weights are in `weights.safetensors` and config.json names `dsee_bench.load`, so that from_pretrained fails
rather than give back half a model; an adapter there does not have PEFT's file names.
"""

import copy
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsee_bench.config.launch import Folding, Storage
from dsee_bench.deploy import manifest
from dsee_bench.deploy.card import About, write_card
from dsee_bench.deploy.manifest import Manifest, TaskOutputs, check_target
from dsee_bench.deploy.onnx_file import ONNX_FILE, QUANTIZED_FILE, write_onnx
from dsee_bench.deploy.onnx_file import quantize as quantize_onnx
from dsee_bench.deploy.own_config import Widths, mark, widths_of
from dsee_bench.deploy.peft_form import Base, adapter_form
from dsee_bench.deploy.storage import compress, size
from dsee_bench.models.access import weight_of
from dsee_bench.models.fused import join
from dsee_bench.models.low_precision import widened
from dsee_bench.models.spec import ModelSpec, dense
from dsee_bench.system.files import kind
from dsee_bench.system.folders import half_made, half_name, share
from dsee_bench.tasks.example import CAUSAL, threshold_of
from dsee_bench.training.job import Setup

UNDER = "base"  # the folder of the model under an adapter that lies in PEFT's form


def export(
    model: PreTrainedModel,
    adapters: Any,  # PEFT's, None where no adapter is attached
    spec: ModelSpec,
    untouched: ModelSpec,
    tokenizer: PreTrainedTokenizerBase | None,
    outputs: TaskOutputs,
    folder: Path,
    *,
    base: Base,
    folding: Folding,
    storage: Storage,
    force: bool,
    run_id: str | None = None,
    onnx: bool = False,
    quantize: bool = False,
    about: About | None = None,
) -> Manifest:
    """Write the model to `folder`, whole or not at all, with `onnx` as ONNX too; `model` itself is not changed.

    With `quantize` there is a second ONNX file with linear weights in 8 bits. `about` is what the model card says of
    the run.
    """
    folder = Path(os.path.abspath(folder))
    check_target(folder, force, run_id)
    plain, form = detached(model, adapters, spec, folding)
    pairs = zip(spec.weights, untouched.weights, strict=True)
    narrowed = any((now.outputs, now.inputs) != (before.outputs, before.inputs) for now, before in pairs)
    stored = _counted(plain, spec)
    apart = None
    if form == "apart":
        apart = adapter_form(adapters, plain, spec, base, storage=storage, narrowed=narrowed)
    own_form = apart is not None and not apart.by_peft
    if not own_form:  # in our own form an adapter lies on the parts of a fused weight, which stay parts
        join(plain)
    by_transformers = storage == "dense" and not narrowed and not own_form
    under = UNDER if apart is not None and apart.by_peft else "."
    weights = str(Path(under, "model.safetensors" if by_transformers else "weights.safetensors"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with half_made(folder) as making:
        (making / under).mkdir(exist_ok=True)
        if tokenizer is not None:
            tokenizer.save_pretrained(making)
        _save_config(plain, outputs, making / under)
        if not by_transformers:
            _mark_config(plain, widths_of(spec) if narrowed else None, making)
        if apart is not None:
            apart.write(making)
        tensors, compressed = _tensors(plain, spec, storage)
        save_file(tensors, making / weights, metadata={"format": "pt"})
        if onnx:
            assert tokenizer is not None  # its inputs are traced
            write_onnx(plain if apart is None else merged(model, adapters, spec), tokenizer, making / ONNX_FILE)
            if quantize:
                quantize_onnx(making / ONNX_FILE, making / QUANTIZED_FILE)
        share(making)
        written = Manifest(
            backbone=base.name,
            task=outputs,
            adapter=form,
            narrowed=narrowed,
            storage=storage,
            weights=weights,
            compressed=compressed,
            spec=stored,
            files=manifest.describe_files(making),
            run_id=run_id,
        )
        write_card(written, base, about, making)
        written = replace(written, files=manifest.describe_files(making))
        manifest.write(written, making)
        _put(making, folder, lambda old: check_target(old, force, run_id))
    return written


def outputs_of(setup: Setup) -> TaskOutputs:
    """Return what a run's model gives out, and how the run reads its rows."""
    task, recipe = setup.task, setup.recipe
    outputs: TaskOutputs = {
        "name": task.name,
        "kind": task.kind,
        "labels": list(task.labels),
        "texts": list(task.text_columns),
        "max_length": recipe.max_length,
        "precision": recipe.precision,
    }
    if setup.truncate is not None:
        outputs["truncate"] = setup.truncate
    if task.kind == "generation":
        prompt, linearize = getattr(task, "prompt", None), getattr(task, "linearize", None)
        outputs["writes"] = {
            "prompt": prompt,
            "linearize": linearize,
            "continued": prompt is not None,
            "decode": asdict(task.decode),  # type: ignore[attr-defined]  # a task that writes texts
        }
    if task.kind == "multi_label":
        outputs["threshold"] = threshold_of(task)
    if task.kind == "multiple_choice":
        outputs["labels"] = list(setup.places)
        outputs["choices"], outputs["blank"] = list(task.choice_columns), task.blank  # type: ignore[attr-defined]
    return outputs


def detached(
    model: PreTrainedModel, adapters: Any, spec: ModelSpec, folding: Folding
) -> tuple[PreTrainedModel, manifest.Form]:
    """Return a copy of the model without adapter modules, and what became of its adapter."""
    if adapters is None:
        return copy.deepcopy(model), "none"
    copied = copy.deepcopy(adapters)
    fold = folding == "merged" or (folding == "auto" and all(w.merges for w in spec.weights if w.adapter))
    return (_merge(copied), "merged") if fold else (copied.unload(), "apart")


def _merge(adapters: Any) -> PreTrainedModel:
    """Merge in float32, where weights are stored in 16 bits too, and round each sum once to the stored type."""
    layers = [module for module in adapters.modules() if isinstance(module, BaseTunerLayer)]
    inner = [parameter for layer in layers for parameter in layer.get_base_layer().parameters()]
    types = {parameter: parameter.dtype for parameter in inner}
    for parameter in inner:
        parameter.data = widened(parameter.data)
    merged: PreTrainedModel = adapters.merge_and_unload()
    for parameter, dtype in types.items():
        parameter.data = parameter.data.to(dtype)
    return merged


def merged(model: PreTrainedModel, adapters: Any, spec: ModelSpec) -> PreTrainedModel:
    """Return a copy with the adapter merged, in transformers' own modules."""
    plain, _ = detached(model, adapters, spec, "merged")
    join(plain)
    return plain


def _save_config(model: PreTrainedModel, outputs: TaskOutputs, folder: Path) -> None:
    """Save the configuration, with the labels as the names of the outputs."""
    model.config.architectures = [type(model).__name__]
    if outputs["kind"] in ("classification", "multi_label"):
        model.config.id2label = dict(enumerate(outputs["labels"]))
        model.config.label2id = {label: index for index, label in enumerate(outputs["labels"])}
    model.config.save_pretrained(folder)
    if outputs["kind"] in CAUSAL:
        model.generation_config.save_pretrained(folder)


def _mark_config(model: PreTrainedModel, widths: Widths | None, folder: Path) -> None:
    """Save the configuration of a model that `load` alone can read."""
    config = copy.deepcopy(model.config)
    mark(config, widths)
    config.save_pretrained(folder)


def _counted(model: PreTrainedModel, spec: ModelSpec) -> ModelSpec:
    """The spec of the model's own weights, with their non-zero entries counted."""
    weights = []
    for weight in spec.weights:
        stored = weight_of(model, weight.site)
        plain = dense(weight.site, *stored.shape, bias=weight.bias > 0)
        weights.append(replace(plain, nnz=int(stored.count_nonzero())))
    return replace(spec, weights=tuple(weights))


def _tensors(model: PreTrainedModel, spec: ModelSpec, storage: Storage) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors of the file, one for all names that share it, and the names that are compressed."""
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


def _put(making: Path, folder: Path, check: Callable[[Path], None]) -> None:
    """Rename the whole new folder into place. The old one is first moved aside and checked there, since another program
    may have put something in its place meanwhile; it is deleted once the new one is in place."""
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
