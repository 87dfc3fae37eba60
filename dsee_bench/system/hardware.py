"""What a run will compute on, as far as the system says without torch, which a plan does not import."""

from pathlib import Path

NATIVE = {"avx512_bf16", "amx_bf16"}  # instruction sets that multiply bfloat16


def has_gpu() -> bool:
    """Return whether there is a GPU of NVIDIA or AMD."""
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd"))


def multiplies_bf16() -> bool:
    """Return whether the processor multiplies bfloat16 natively; False where Linux does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return bool(NATIVE & set(flags.split()))
