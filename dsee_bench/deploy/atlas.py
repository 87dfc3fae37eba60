"""The atlas: when does a pruned weight pay? One linear weight at a time, on every engine, beside the same weight dense.

Each row of the atlas is one shape x tokens x pattern x sparsity x engine. The weight is random: the time of a product
depends on where the zeros are, not on the numbers. Letters: O outputs, I inputs, T tokens.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dsee_bench.deploy import engines
from dsee_bench.deploy.engines import Refused, Source, first_line
from dsee_bench.deploy.timing import in_turn
from dsee_bench.system.provenance import machine

SHAPES: Mapping[str, tuple[int, int]] = {  # (O, I), from the models' own config.json
    "BERT-base attention": (768, 768),
    "BERT-base FFN": (3072, 768),
    "BERT-large attention": (1024, 1024),
    "BERT-large FFN": (4096, 1024),
    "GPT-2 c_attn": (2304, 768),
    "Llama-1B query": (2048, 2048),
    "Llama-1B FFN": (8192, 2048),
}
TOKENS = (1, 32, 512)
SPARSITIES: Mapping[str, tuple[float, ...]] = {
    "single": (0.0, 0.5, 0.7, 0.8, 0.9, 0.95),
    "2:4": (0.5,),
    "blocks": (0.5, 0.7, 0.8, 0.9, 0.95),
    "rows": (0.25, 0.5, 0.75, 0.9),
}
SHOWN = {"single": 0.9, "blocks": 0.9, "2:4": 0.5}  # on an engine that skips no zeros of the pattern, one is enough
BLOCK = 16  # rows and columns of a block
LEAST = 7  # rounds of a cell
SECONDS = 1.0  # of timing one cell, where the fewest rounds do not take longer


@dataclass(frozen=True)
class Cell:
    """What is measured together."""

    shape: str
    tokens: int
    pattern: str
    sparsity: float
    engine: str


class One(nn.Module):
    """One linear weight."""

    def __init__(
        self,
        weight: Tensor,  # (O, I)
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(weight.shape[1], weight.shape[0])
        self.linear.weight.data = weight

    def forward(
        self,
        x: Tensor,  # (T, I)
    ) -> Tensor:  # (T, O)
        return self.linear(x)


def cells(*, quick: bool, only: Iterable[str] = ()) -> list[Cell]:
    """Return the cells of the atlas on all engines, or `only` these; `quick`: the smallest shape, few sparsities."""
    names = list(only) or engines.of_one_weight()
    engines.check(names)
    shapes = list(SHAPES)[:1] if quick else list(SHAPES)
    found = []
    for shape in shapes:
        for tokens in TOKENS[:2] if quick else TOKENS:
            for engine in names:
                for pattern, sparsity in _zeros(engines.skips(engine), quick):
                    found.append(Cell(shape, tokens, pattern, sparsity, engine))
    return found


def _zeros(skips: tuple[str, ...], quick: bool) -> Iterator[tuple[str, float]]:
    """The patterns and sparsities that are worth a time on an engine that skips the zeros of some patterns."""
    for pattern, sparsities in SPARSITIES.items():
        if pattern in skips or (pattern == "rows" and not skips):
            values = tuple(share for share in sparsities if share > 0)
            yield from ((pattern, share) for share in (values[-1:] if quick else values))
        elif not skips:
            yield pattern, SHOWN[pattern]


def pruned(shape: tuple[int, int], pattern: str, sparsity: float) -> Tensor:
    """Return a random weight (O, I) with this share of zeros in the pattern; "rows" returns fewer outputs."""
    outputs, inputs = shape
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, inputs, generator=generator)
    if pattern == "rows":
        return weight[: max(1, round(outputs * (1 - sparsity)))].contiguous()
    if pattern == "2:4":
        order = torch.rand(outputs, inputs // 4, 4, generator=generator).argsort(2)
        return weight * (order >= 2).view(outputs, inputs)
    side = BLOCK if pattern == "blocks" else 1
    ranks = torch.rand(outputs // side * (inputs // side), generator=generator).argsort()
    kept = (ranks >= round(sparsity * len(ranks))).view(outputs // side, inputs // side)
    return weight * kept.repeat_interleave(side, 0).repeat_interleave(side, 1)


def measure(cell: Cell, name: str, seconds: float = SECONDS) -> dict[str, Any]:
    """Return one row: the time of the pruned weight and of the dense one in turn, or why there is none."""
    outputs, inputs = shape = SHAPES[cell.shape]
    row = {"machine": name, **asdict(cell), "outputs": outputs, "inputs": inputs}
    batch = {"x": torch.randn(cell.tokens, inputs, generator=torch.Generator().manual_seed(1))}
    with tempfile.TemporaryDirectory(prefix="dsee-bench-") as folder:
        sources = []
        for part, zeros in (("final", (cell.pattern, cell.sparsity)), ("dense", ("single", 0.0))):
            path = Path(folder, part)
            path.mkdir()
            sources.append((_source(pruned(shape, *zeros), path, batch), path))
        try:
            final, dense = engines.deploy(cell.engine, *sources[0]), engines.deploy_dense(cell.engine, *sources[1])
            timed = in_turn(
                lambda: final.run(batch), lambda: dense.run(batch), seconds=seconds, least=LEAST, shortest=0.002
            )
        except Exception as error:  # one engine must not end the atlas
            reason = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {first_line(error)}"
            return row | {**machine("", torch.get_num_threads()), "device": None, "reason": reason}
    low, high = timed.interval
    return row | {
        **machine(final.device, torch.get_num_threads()),
        "packages": {package: version(package) for package in final.packages},
        "precision": final.precision,
        "ms": sorted(timed.first)[len(timed.first) // 2],
        "dense_ms": sorted(timed.second)[len(timed.second) // 2],
        "ratio": timed.ratio,
        "low": low,
        "high": high,
        "rounds": len(timed.first),
        "bytes": final.bytes,
        "dense_bytes": dense.bytes,
        "reason": None,
    }


def _source(weight: Tensor, folder: Path, batch: Mapping[str, Tensor]) -> Source:
    module = One(weight).eval()
    file = folder / "one.onnx"

    def onnx() -> Path:
        if not file.exists():
            write_one(module, file)
        return file

    return Source(module, onnx, lambda: iter([batch]))


def write_one(module: One, file: Path) -> None:
    """Write the weight as an ONNX file: x (T, I) in, y (T, O) out. torch's exporter would take seconds for each."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    linear = module.linear
    stored = {"weight": linear.weight.detach().T.contiguous(), "bias": linear.bias.detach()}
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["xw"]), helper.make_node("Add", ["xw", "bias"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["tokens", linear.in_features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["tokens", linear.out_features])],
        [numpy_helper.from_array(value.numpy(), name) for name, value in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, file)


def key(row: Mapping[str, Any]) -> Cell:
    """Return the cell of a row."""
    return Cell(**{name: row[name] for name in Cell.__dataclass_fields__})


def read(file: Path) -> list[dict[str, Any]]:
    """Return the rows of one machine's file; ValueError names the line that is none."""
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            key(row)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file}, line {number} is no row of the atlas: {error}; delete it") from error
        rows.append(row)
    return rows


def slug(name: str) -> str:
    """Return a machine's name as part of a file name."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())
