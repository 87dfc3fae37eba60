"""Run tests under each instruction set of this processor.

    python tests/instruction_sets.py          # what computes or trains, each set once, for `make test-slow`
    python tests/instruction_sets.py tests    # everything, with one thread and with two, for `make test-isa`

Other words go to pytest, too. `make test` itself takes the best set, with one thread.

torch, oneDNN and MKL choose their kernels by the processor, and kernels add in different orders. A test that passes
with one order alone says nothing of the code.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping

# torch's name -> what holds oneDNN and MKL to the same, from the least on
SETS = {
    "default": {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MKL_ENABLE_INSTRUCTIONS": "AVX512"},
}
THREADS = (1, 2)
# Tensors are compared here, and the last ones train. The other folders count, read, write and draw.
TRAINS = ["tests/training", "tests/cli/test_bench.py::test_the_same_seed_gives_the_same_score_to_the_last_digit"]
COMPUTES = ["tests/adapters", "tests/pruning", "tests/models", "tests/stages", *TRAINS]
CAPABILITY = "import torch; print(torch.backends.cpu.get_cpu_capability())"


def environment(name: str, threads: int) -> dict[str, str]:
    """Return the variables that hold every library to the instruction set `name`."""
    return {"ATEN_CPU_CAPABILITY": name, "OMP_NUM_THREADS": str(threads), **SETS[name]}


def capability(variables: Mapping[str, str]) -> str:
    """Return the instruction set that torch uses under `variables`; without any, the best of this processor."""
    plain = {key: value for key, value in os.environ.items() if key != "ATEN_CPU_CAPABILITY"}
    done = subprocess.run(
        [sys.executable, "-c", CAPABILITY], env=plain | dict(variables), capture_output=True, text=True, check=True
    )
    return done.stdout.strip().lower()


def run(words: list[str]) -> list[str]:
    """Run the tests under each set and number of threads; return one line on each.

    Without words: what computes under the sets below the best, with one thread, and what trains under the best, with
    two. `make test` has taken the best with one.
    """
    best = capability({})
    known = list(SETS)
    said = []
    for name in known:
        if known.index(name) > (known.index(best) if best in known else 0):  # another processor family has the least
            said.append(f"{name}: skipped, this processor has {best} at most")
            continue
        for threads in THREADS if words else (2,) if name == best else (1,):
            variables = environment(name, threads)
            if (used := capability(variables)) != name:
                raise RuntimeError(f"torch uses {used} under ATEN_CPU_CAPABILITY={name}")
            started = time.perf_counter()
            # Threads of several workers would wait for each other's cores: 275 s in place of 60 s on two cores.
            workers = ["-n", str(max(1, (os.cpu_count() or 1) // threads))]
            command = [sys.executable, "-m", "pytest", *workers, *(words or (TRAINS if name == best else COMPUTES))]
            code = subprocess.call(command, env=os.environ | variables)
            seconds = time.perf_counter() - started
            said.append(f"{name}, {threads} threads: {'green' if code == 0 else f'FAILED ({code})'}, {seconds:.0f} s")
    return said


if __name__ == "__main__":
    lines = run(sys.argv[1:])
    print("\n".join(lines))
    sys.exit(any("FAILED" in line for line in lines))
