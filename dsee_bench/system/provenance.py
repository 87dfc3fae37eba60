"""How a record was made: command, commit, packages, machine."""

import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dsee_bench.system import distributed, secrets

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "evaluate",
    "hydra-core",
    "numpy",
    "scikit-learn",
    "scipy",
)


def made_by(overrides: Sequence[str], device: str, threads: int) -> dict[str, Any]:
    """What repeats the run: its command, the code's commit, the versions of what computes, and the machine in words."""
    commit, dirty = checkout()
    return {
        "command": secrets.starred(shlex.join(["dsee-bench", *overrides])),
        "commit": commit,
        "dirty": dirty,
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": device,
        "isa": isa(),
        "threads": threads,
        "processes": distributed.world_size(),
    }


def checkout() -> tuple[str | None, bool | None]:
    """The commit of the checkout this package is in, and whether anything but results differs from it; (None, None)
    outside a checkout."""
    folder = Path(__file__).resolve().parents[1]
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    changed = _git(folder, "status", "--porcelain", "--", ":/", ":(top,exclude)results")
    return commit, bool(changed)


def _git(folder: Path, *arguments: str) -> str | None:
    # A package installed inside some other project's checkout is not that project's code.
    if not (folder.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            start_new_session=True,  # Ctrl-C at a terminal would stop it too
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def device_name(device: str) -> str:
    """The accelerator's name, or the processor's."""
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return f"CPU {name}, {os.cpu_count()} cores"


def isa() -> str:
    """The widest instruction set that torch uses on this processor, and what multiplies 8 and 16 bits: "AVX2"."""
    import torch

    has = torch.cpu.get_capabilities()
    more = {
        "VNNI": ("avx512_vnni", "avx_vnni"),
        "BF16": ("avx512_bf16",),
        "AMX": ("amx_int8", "amx_bf16"),
        "DOTPROD": ("neon_dotprod", "dotprod"),
    }
    names = [name for name, flags in more.items() if any(has.get(flag) for flag in flags)]
    return " ".join([torch.backends.cpu.get_cpu_capability(), *names])


def machine(device: str, threads: int) -> dict[str, Any]:
    """What a time depends on, besides the model and the engine."""
    return {"device": device, "isa": isa(), "threads": threads}
