"""How long it takes to place the sparse entries: GreBsmo over all 24 query and value weights of a BERT-base shape.

Random weights of BERT's spread (0.04): a flat spectrum, on which the passes converge slowest. The bar (ours): 24
weights of 768 x 768 at rank 16 in 4 s on two AVX2 cores. Beside it the authors' constants (100 rounds to rank 496), a
weight at a time, in this implementation: theirs took 3.4-4.4 s a weight.

    python benchmarks/decompose.py --weights 24
"""

import argparse
import time
from collections.abc import Iterator

import torch
from measured import Row

from dsee_bench.pruning import Placement
from dsee_bench.pruning.decomposition import place

RANK, KEPT, SPREAD = 16, 64, 0.04
WEIGHTS, WIDTH = 24, 768  # BERT-base's queries and values


def seconds(how: Placement, weights: list[torch.Tensor]) -> list[float]:
    """Seconds of each weight's placement."""
    taken = []
    for index, weight in enumerate(weights):
        start = time.perf_counter()
        place(weight, KEPT, how, rank=RANK, generator=torch.Generator().manual_seed(index), name=f"weight {index}")
        taken.append(time.perf_counter() - start)
    return taken


def rows() -> Iterator[Row]:
    generator = torch.Generator().manual_seed(0)
    weights = [SPREAD * torch.randn(WIDTH, WIDTH, generator=generator) for _ in range(WEIGHTS)]
    seconds("decomposition", weights[:1])  # warms up
    note = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    yield Row("positions of BERT-base's 24 weights", sum(seconds("decomposition", weights)), "s", 4.0, note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", type=int, default=WEIGHTS)
    parser.add_argument("--authors", type=int, default=2, help="weights for the authors' constants")
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    generator = torch.Generator().manual_seed(0)
    weights = [SPREAD * torch.randn(args.width, args.width, generator=generator) for _ in range(args.weights)]
    print(f"{args.width} x {args.width}, rank {RANK}, K {KEPT}, cpu, {torch.get_num_threads()} threads")
    print(f"{'':16}{'weights':>8}{'s, all':>9}{'s, each':>9}{'slowest':>9}")
    for how, chosen in (("decomposition", weights), ("authors", weights[: args.authors])):
        taken = seconds(how, chosen)
        if taken:
            print(f"{how:16}{len(taken):>8}{sum(taken):>9.2f}{sum(taken) / len(taken):>9.2f}{max(taken):>9.2f}")


if __name__ == "__main__":
    main()
