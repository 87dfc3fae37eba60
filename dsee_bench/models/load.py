"""Weights and tokenizer of a backbone: from the user's folder, a package, the hub at a pinned revision, or random."""

import contextlib
import json
import pickle
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsee_bench.hub import HubFiles, cached, get
from dsee_bench.models import tokenizers
from dsee_bench.models.access import head_parameters
from dsee_bench.models.packaged import is_exact, package_folder
from dsee_bench.monitoring import console
from dsee_bench.system.checksum import sha256
from dsee_bench.system.errors import UserError, as_mistake, shown
from dsee_bench.system.shell import shell_path

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from dsee_bench.models.backbone import Backbone

# A checkpoint's weights: the first of these that is there. From a pickle (.bin) tensors alone are read, by torch's own
# restricted reader.
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "pytorch_model.bin", "pytorch_model-*-of-*.bin")
EXTRA = (
    "README.md",  # the license
    "*.index.json",
    "added_tokens.json",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab*",
    "merges.txt",
    "spiece*",
    "sentencepiece*",
    "spm*",
    "bpe_encoder.bin",
)
AUTO = "choose the backbone it is, or backbone=auto backbone.path=DIR, which takes its own numbers"


@dataclass(frozen=True)
class Loaded:
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    weights: dict[str, str]  # the source, and the sha256 of the weights' files


def load_classifier(checkpoint: "Backbone", *, labels: int, regression: bool) -> Loaded:
    """Return a sequence classifier (regressor for `regression`) in the backbone's dtype.

    Its head is new, but for what of the checkpoint's own has the same shape, as from_pretrained takes it.
    """
    problem = "regression" if regression else "single_label_classification"
    loaded = _load(checkpoint, "AutoModelForSequenceClassification", num_labels=labels, problem_type=problem)
    if checkpoint.generates:
        tokenizers.mark_pairs(loaded.tokenizer)
    return loaded


def load_lm(checkpoint: "Backbone") -> Loaded:
    """Return a causal language model in the backbone's dtype; its tokenizer pads on the left, as generation needs."""
    loaded = _load(checkpoint, "AutoModelForCausalLM")
    loaded.tokenizer.padding_side = "left"
    return loaded


def _load(checkpoint: "Backbone", auto_class: str, **head: Any) -> Loaded:
    import transformers
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()  # the head is new, and said so here; transformers would warn of it
    logging.disable_progress_bar()
    model_class = getattr(transformers, auto_class)
    if checkpoint.random:
        tokenizer = tokenizers.for_tests(generates=checkpoint.generates, types=checkpoint.types)
        config = AutoConfig.for_model(
            checkpoint.model_type,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **head,
            **checkpoint.config_settings(),
        )
        model = model_class.from_config(config)
        return Loaded(_prepared(model, checkpoint, head), tokenizer, {"source": "random"})
    folder = find(checkpoint)
    check_numbers(checkpoint, folder)
    weights = next((found for pattern in WEIGHTS if (found := sorted(folder.glob(pattern)))), [])
    _refuse_pointers(weights)
    # transformers and safetensors have errors of many kinds for files that are damaged or of another model.
    wants = f"{folder} cannot be loaded as {checkpoint.name}; it must be whole, as save_pretrained writes it: "
    try:
        with as_mistake((Exception,), wants):
            model, info = model_class.from_pretrained(
                folder,
                output_loading_info=True,
                dtype=checkpoint.dtype or "float32",
                ignore_mismatched_sizes=bool(head),
                **head,
            )
    except UserError as error:
        if not isinstance(error.__cause__, pickle.UnpicklingError):
            raise
        raise ValueError(
            f"{weights[0]} is damaged, or holds more than tensors, which are all that is read from a pickle; give "
            "the checkpoint as safetensors"
        ) from error
    _refuse_missing(checkpoint, folder, model, info, head)
    if head and not info["missing_keys"] and not info["mismatched_keys"]:
        console.info(f"the task head is that of {folder}: its outputs are taken for the task's, in order")
    _refuse_other_size(checkpoint, folder, model.num_parameters(), head.get("num_labels"))
    tokenizer = tokenizers.read(folder, model.config, generates=checkpoint.generates)
    _refuse_unknown_tokens(folder, model, tokenizer)
    if checkpoint.generates:  # a classifier finds a text's last token by it
        model.config.pad_token_id = tokenizer.pad_token_id
    files = {path.name: sha256(path) for path in weights}
    source = checkpoint.path or checkpoint.package or f"{checkpoint.hub}@{checkpoint.revision}"
    return Loaded(_prepared(model, checkpoint, head), tokenizer, {"source": source, **files})


def _prepared(model: "PreTrainedModel", checkpoint: "Backbone", head: Mapping[str, Any]) -> "PreTrainedModel":
    """Return the model with the modules that stages work on."""
    from dsee_bench.models.autocast import keep_float32
    from dsee_bench.models.fused import split
    from dsee_bench.models.low_precision import store
    from dsee_bench.models.position_bias import make_narrowable

    for change in (split, keep_float32, make_narrowable):
        change(model)
    if checkpoint.dtype not in (None, "float32"):
        store(model, checkpoint.dtype, head_parameters(model, checkpoint.spec(head.get("num_labels"))))
    return model


def find(checkpoint: "Backbone") -> Path:
    """Return the folder with the weights, downloaded if need be; raise within seconds where they cannot be had."""
    if checkpoint.path is not None:
        return shell_path(checkpoint.path, "backbone.path")
    if checkpoint.package is not None:
        return package_folder(checkpoint.package)
    remote = hub_files(checkpoint)
    if remote is None:
        raise ValueError(
            f"backbone {checkpoint.name} names no source of weights; set backbone.path=DIR or backbone.hub=REPO"
        )
    return get(remote)


def hub_files(checkpoint: "Backbone") -> HubFiles | None:
    """Return the files to take from the hub; None where there are none."""
    if checkpoint.random or checkpoint.path is not None or checkpoint.package is not None or checkpoint.hub is None:
        return None
    return HubFiles(
        repo=checkpoint.hub,
        kind="model",
        revision=checkpoint.revision or "main",
        files=("config.json",),
        either=WEIGHTS,
        optional=EXTRA,
        alternative="backbone.path=DIR that from_pretrained reads (or backbone=minilm, from a Python package)",
    )


def fetch_missing(checkpoint: "Backbone") -> None:
    """Download what the hub's cache lacks of the weights, if anything; raise as `find` where they cannot be had."""
    remote = hub_files(checkpoint)
    if remote is not None and remote.local_copy is None and cached(remote) is None:
        get(remote)


def published(checkpoint: "Backbone") -> tuple[str, str | None] | None:
    """Return repository and revision on the hub that hold the same weights; None where none is known to.

    A package with a GGUF file has them in fewer bits.
    """
    own = checkpoint.random or checkpoint.path is not None or checkpoint.hub is None
    if own or (checkpoint.package is not None and not is_exact(checkpoint.package)):
        return None
    remote = HubFiles(str(checkpoint.hub), "model", checkpoint.revision or "main", (), "")
    return None if remote.local_copy is not None else (remote.repo, checkpoint.revision)


def card_of(checkpoint: "Backbone") -> Path | None:
    """Return where the checkpoint's model card is, if it has one and is on this machine; asks no network."""
    remote = hub_files(checkpoint)
    if remote is not None:
        folder = remote.local_copy or cached(remote)
    else:
        folder = find(checkpoint) if checkpoint.path or checkpoint.package else None
    return None if folder is None else folder / "README.md"


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of a checkpoint's config.json; ValueError where there is none or it is damaged."""
    path = folder / "config.json"
    if (folder / "adapter_config.json").is_file():
        beside = "an adapter beside the weights, which would be attached" if path.is_file() else "an adapter alone"
        raise ValueError(
            f"{folder} holds {beside}; give a folder with the checkpoint alone, or with the adapter merged"
        )
    if not path.is_file():
        raise ValueError(f"{folder} holds no config.json; give a folder that from_pretrained reads")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}; copy the folder anew") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, found {shown(content)}; copy it anew")
    return content


def weight_names(folder: Path) -> set[str]:
    """Return the names of a checkpoint's weights, without loading them; none where they lie in a single pickle."""
    names: set[str] = set()
    for path in folder.glob("*.index.json"):
        with contextlib.suppress(ValueError, KeyError):
            names |= json.loads(path.read_text(encoding="utf-8"))["weight_map"].keys()
    single = folder / "model.safetensors"
    if single.is_file():
        with single.open("rb") as file, contextlib.suppress(ValueError, struct.error):
            (size,) = struct.unpack("<Q", file.read(8))
            names |= json.loads(file.read(min(size, single.stat().st_size))).keys()
    return names


def check_numbers(checkpoint: "Backbone", folder: Path, way_out: str = AUTO) -> None:
    """ValueError if the folder's configuration is not the one that the backbone's settings state."""
    wrong = checkpoint.differences(read_config(folder))
    if wrong:
        raise ValueError(f"{folder} is no {checkpoint.name}: {'; '.join(wrong)}; {way_out}")


def _refuse_pointers(weights: Sequence[Path]) -> None:
    """ValueError for a file that git left as a pointer to the weights."""
    for path in weights:
        with path.open("rb") as file:
            if file.read(12) == b"version http":
                raise ValueError(f"{path} is a pointer of Git LFS, not the weights; fetch them: git lfs pull")


def _refuse_missing(
    checkpoint: "Backbone", folder: Path, model: "PreTrainedModel", info: dict[str, Any], head: dict[str, Any]
) -> None:
    """ValueError for weights that the folder lacks or has in another shape; those of a classifier's head are new."""
    inside = f"{model.base_model_prefix}." if head else ""
    new = tuple(f"{path}." for path in checkpoint.head_modules)
    shapes = {key: f"{key} is {tuple(found)}, not {tuple(wanted)}" for key, found, wanted in info["mismatched_keys"]}
    missing = [key for key in sorted(info["missing_keys"]) if key.startswith(inside) and not key.startswith(new)]
    wrong = [*(shapes[key] for key in sorted(shapes) if key.startswith(inside)), *(key for key in missing)]
    if not wrong:
        return
    if checkpoint.pooler and all(key.startswith(f"{checkpoint.pooler}.") for key in wrong):
        raise ValueError(
            f"{folder} has no pooler, as {checkpoint.name} wants one ({wrong[0]} is missing); set "
            "backbone.new_pooler=true, which makes a new one that is tuned with the task head"
        )
    raise ValueError(
        f"{folder} lacks weights of {checkpoint.name}: {', '.join(wrong[:3])} ({len(wrong)} in all); they would start "
        "at random; give the whole checkpoint"
    )


def _refuse_other_size(checkpoint: "Backbone", folder: Path, found: int, labels: int | None) -> None:
    """ValueError where the model has more or fewer parameters than the family's table counts."""
    counted = checkpoint.spec(labels).total
    if found != counted:
        raise ValueError(
            f"{folder / 'config.json'} has a setting that the table of paths for {checkpoint.model_type} does not "
            f"know: the model has {found:,} parameters, the table counts {counted:,}; choose another checkpoint"
        )


def _refuse_unknown_tokens(folder: Path, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    """ValueError if the tokenizer gives numbers that the model has no embedding for."""
    known = int(model.get_input_embeddings().weight.shape[0])
    largest = max(tokenizer.get_vocab().values())
    if largest >= known:
        raise ValueError(
            f"{folder}: its tokenizer numbers tokens up to {largest}, its model has embeddings for {known}; put the "
            "tokenizer of these weights there, or weights whose vocabulary is as large"
        )
