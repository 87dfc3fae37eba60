"""Load an exported folder as a transformers model: shaped by its manifest, every weight filled, nothing trusted."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel
from transformers.initialization import no_init_weights

from dsee_bench.adapters.removal import remove
from dsee_bench.config.launch import Storage
from dsee_bench.deploy import manifest
from dsee_bench.deploy.own_config import Widths, mark, read_widths, widths_of
from dsee_bench.deploy.peft_form import CONFIG, OWN_CONFIG, OWN_WEIGHTS, WEIGHTS
from dsee_bench.deploy.storage import PARTS, expand
from dsee_bench.deploy.untrusted import adapter_config, check_memory, config_of, header, read_json, refused
from dsee_bench.models.fused import join, split
from dsee_bench.models.heads import for_task
from dsee_bench.models.low_precision import compute_wide
from dsee_bench.models.own import untouched_spec_of
from dsee_bench.models.position_bias import make_narrowable, set_columns
from dsee_bench.tasks.example import CAUSAL

Shapes = Mapping[str, tuple[tuple[int, ...], str]]  # of the tensors in files: shape and type


@dataclass(frozen=True)
class Stored:
    """A model in files: what its tensors make, before they are read."""

    folder: Path  # that an error names
    files: tuple[Path, ...]  # of the weights
    config: Any  # transformers' configuration
    writes: bool  # a causal language model; else a sequence classifier
    widths: Widths | None  # of a narrowed model
    kind: str = ""  # of the task; "": a folder that does not say
    whole: bool = True  # fused weights are, as in transformers' own model
    storage: Storage = "dense"
    compressed: tuple[str, ...] = ()  # parameters that are stored in the layout `storage`
    adapter: tuple[Path, Path] | None = None  # its configuration and weights, where it lies apart


def load(folder: str | os.PathLike[str]) -> PreTrainedModel:
    """Return an exported model, or a narrowed one that save_pretrained wrote, in eval mode on the CPU.

    Weights that the file has in 16 bits stay so, and compute in float32 (models/low_precision.py). ValueError for a
    folder that is not whole, or not of ours.
    """
    folder = Path(folder)
    saved = not (folder / manifest.NAME).exists() and (folder / "config.json").is_file()
    tensors, stored = _saved(folder) if saved else _exported(folder)
    dtype = stored.config.dtype  # from_config writes another one there
    with refused(folder), torch.device("meta"):
        empty = _store(_shaped(stored), dtype, tensors)
    _check_header(empty, tensors, stored)
    with refused(folder):
        model = _store(_shaped(stored), dtype, tensors)
        _fill(model, _read_tensors(stored, model), folder)
        compute_wide(model)
        for_task(model, stored.kind)
        if stored.adapter is not None:
            model = _attach_adapter(model, *stored.adapter)
        _check_finite(model, folder)
        if stored.widths is not None:
            mark(model.config, stored.widths)
        return model.eval()


def _exported(folder: Path) -> tuple[Shapes, Stored]:
    """Check an exported folder against its manifest; return what it holds."""
    exported = manifest.read(folder)
    weights = folder / exported.weights
    tensors = header(weights)
    by_peft = CONFIG in exported.files
    with refused(folder):
        widths = widths_of(exported.spec) if exported.narrowed else None
    names = (CONFIG, WEIGHTS) if by_peft else (OWN_CONFIG, OWN_WEIGHTS)
    return tensors, Stored(
        folder=folder,
        files=(weights,),
        config=config_of(weights.parent, len(tensors)),
        writes=exported.task["kind"] in CAUSAL,
        widths=widths,
        kind=exported.task["kind"],
        whole=exported.adapter != "apart" or by_peft,
        storage=exported.storage,
        compressed=exported.compressed,
        adapter=(folder / names[0], folder / names[1]) if exported.adapter == "apart" else None,
    )


def _saved(folder: Path) -> tuple[Shapes, Stored]:
    """Return what a folder holds that save_pretrained of a narrowed model wrote."""
    content = read_json(folder / "config.json")
    with refused(folder):
        widths = read_widths(content)
    if widths is None:
        raise ValueError(
            f"{folder} is no exported model: it has no {manifest.NAME}; give a folder that export=DIR wrote, or that "
            "save_pretrained of a narrowed model wrote; transformers' from_pretrained reads others"
        )
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise ValueError(f"{folder} has no model.safetensors; copy the whole folder, or save the model again")
    tensors = {name: shape for file in files for name, shape in header(file).items()}
    if adapted := next((name for name in tensors if ".base_layer." in name), None):
        raise ValueError(f"{folder} has an adapter on {adapted}; dsee_bench.save(model, DIR) merges and saves it")
    heads = content.get("architectures") or [""]
    writes = str(heads[0]).endswith(("ForCausalLM", "LMHeadModel"))
    return tensors, Stored(folder, tuple(files), config_of(folder, len(tensors)), writes, widths)


def _shaped(stored: Stored) -> PreTrainedModel:
    """A model of the stored one's shapes, with no values."""
    cls: Any = AutoModelForCausalLM if stored.writes else AutoModelForSequenceClassification
    with no_init_weights():
        model: PreTrainedModel = cls.from_config(stored.config, trust_remote_code=False, dtype=torch.float32)
    model.tie_weights()  # which no_init_weights leaves out
    split(model)
    make_narrowable(model)
    if stored.widths is not None:
        _narrow(model, stored.widths)
    if stored.whole:
        join(model)
    return model


def _narrow(model: PreTrainedModel, widths: Widths) -> None:
    spec = untouched_spec_of(model)
    if not len(widths.heads) == len(widths.neurons) == spec.layers:
        raise ValueError(f"widths of {len(widths.heads)} layers, the configuration has {spec.layers}")
    narrow = remove(model, spec, {}, [torch.arange(n) for n in widths.heads], [torch.arange(n) for n in widths.neurons])
    if widths.columns:
        set_columns(model, replace(narrow, head_columns=widths.columns))


def _store(model: PreTrainedModel, dtype: torch.dtype | None, tensors: Shapes) -> PreTrainedModel:
    """Return the model with the parameters that the file has in the configuration's type in that type."""
    for name, parameter in model.named_parameters(remove_duplicate=False):
        for written in (name, f"{name}:values"):  # whole, or compressed
            if written in tensors and f"torch.{tensors[written][1]}" == str(dtype):
                parameter.data = parameter.data.to(dtype)
    model.config.dtype = dtype
    return model


def _check_header(empty: PreTrainedModel, tensors: Shapes, stored: Stored) -> None:
    """ValueError, before memory is taken, unless the files' tensors (shape and type) are those of the model."""
    path = stored.files[0] if len(stored.files) == 1 else stored.folder
    state = empty.state_dict().values()
    check_memory(sum(value.numel() for value in state), sum(value.nbytes for value in state), stored.files, path)
    values = dict(empty.named_parameters(remove_duplicate=False))
    tied = {id(value) for name, value in values.items() if name in tensors}
    for name, value in empty.state_dict().items():
        if name in stored.compressed or (id(values.get(name)) in tied - {id(None)} and name not in tensors):
            continue
        if name not in tensors:
            raise ValueError(f"{path} has no {name}, which its configuration asks for; export the model again")
        shape, dtype = tensors[name]
        if shape != tuple(value.shape) or f"torch.{dtype}" != str(value.dtype):
            raise ValueError(f"{path} has {name} as {dtype} {shape}, its configuration asks for {tuple(value.shape)}")


def _read_tensors(stored: Stored, model: PreTrainedModel) -> dict[str, Tensor]:
    tensors = {name: value for file in stored.files for name, value in load_file(file).items()}
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in stored.compressed:
        try:
            parts = {part: tensors.pop(f"{name}:{part}") for part in PARTS[stored.storage]}
            tensors[name] = expand(parts, shapes[name], stored.storage)  # type: ignore[arg-type]
        except (KeyError, ValueError, IndexError, TypeError, RuntimeError) as error:
            raise ValueError(f"{name} in {stored.files[0]} cannot be read: {error}") from error
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


def _attach_adapter(model: PreTrainedModel, settings: Path, weights: Path) -> PreTrainedModel:
    """Attach an adapter; ValueError for missing tensors, of which PEFT only warns."""
    from peft import get_peft_model, set_peft_model_state_dict

    config = adapter_config(settings, weights)
    carried = tuple(f"base_model.model.{name}." for name in config.modules_to_save or ())
    tensors = {name: value for name, value in load_file(weights).items() if not name.startswith(carried)}
    config.modules_to_save = config.task_type = None  # the model has them already
    adapted = get_peft_model(model, config)
    result = set_peft_model_state_dict(adapted, tensors)
    prefix = adapted.base_model.prefix
    if odd := [*(name for name in result.missing_keys if prefix in name), *result.unexpected_keys]:
        raise ValueError(f"the adapter in {weights} does not fit the model: {odd[0]} ({len(odd)} in all)")
    return adapted.base_model.model


def _check_finite(model: PreTrainedModel, folder: Path) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(f"{folder}: {name} has entries that are NaN or infinite; train the model again")
