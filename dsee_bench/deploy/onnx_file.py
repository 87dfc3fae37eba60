"""Export of a finished model as an ONNX file, for runtimes without torch: any batch, any length.

torch's own exporter (torch.export, then ONNX) writes it, so a narrowed model is as narrow there. The adapter is merged
into it, whatever `export_adapter` says. A model for multiple choice has a score for each pair of context and choice, to
be compared by softmax; one of several labels has logits for the sigmoid. A language model takes and gives back its
cache (onnx_decoder.py).
"""

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsee_bench.models.heads import as_scorer
from dsee_bench.system.extras import require
from dsee_bench.system.provenance import isa

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ONNX_FILE = "model.onnx"
QUANTIZED_FILE = "model_quantized.onnx"  # the name that optimum gives it, too
OUTPUT = "logits"
NEEDED = ("onnx", "onnxscript")  # imported by torch's exporter
LINEAR = ["MatMul", "Gemm"]  # what is quantized, where one side is a weight


def check_onnx(quantized: str | None = None) -> None:
    """Raise ValueError, before anything is trained, if a package that writes the files is missing."""
    require("onnx", "export_onnx=true", *NEEDED)
    if quantized is not None:
        require("engines", f"export_quantize={quantized}", "onnxruntime")


def write_onnx(
    model: "PreTrainedModel",  # no adapter modules, in transformers' own modules; it ends on the CPU, in float32
    tokenizer: "PreTrainedTokenizerBase",
    file: Path,
) -> None:
    """Write `model` to `file`: the tokenizer's outputs (batch, length) in, `logits` (batch, labels) out.

    A language model takes `input_ids`, `attention_mask` and its cache, and gives logits (batch, length, vocabulary) and
    the longer cache.
    """
    import torch

    from dsee_bench.deploy.onnx_decoder import traced

    # It warns of torchvision's operators and of expressions that it does not simplify; a user can change neither.
    for name in ("torch.onnx", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    as_scorer(model)  # of multiple choice: a score a pair, as the number of choices varies
    model = model.cpu().float().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's exporter about torch
        arguments = traced(model) if model.can_generate() else _traced(model, tokenizer)
        program: Any = torch.onnx.export(**arguments, dynamo=True, verbose=False)
    program.save(file)


def _traced(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> dict[str, Any]:
    """Return the arguments of torch.onnx.export for a classifier or regressor."""
    import torch

    model.config.use_cache = False  # else a decoder's keys and values are outputs too
    batch = tokenizer(["a text", "a longer text than the first"], padding=True, return_tensors="pt")
    dynamic = torch.export.Dim.DYNAMIC
    return {
        "model": model,
        "kwargs": dict(batch),
        "input_names": list(batch),
        "output_names": [OUTPUT],
        "dynamic_shapes": {name: {0: dynamic, 1: dynamic} for name in batch},
    }


def quantize(source: Path, file: Path) -> str:
    """Write `file`, an ONNX file with its linear weights in 8 bits; return how.

    Ranges of weights are those of each output; ranges of their inputs are found at each pass.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    narrow = _narrow()
    with _silent():
        quantize_dynamic(
            source,
            file,
            op_types_to_quantize=LINEAR,
            per_channel=True,
            reduce_range=narrow,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    return f"dynamic, weights of {7 if narrow else 8} bits by output"


def calibrate(source: Path, file: Path, rows: "Iterable[Mapping[str, Tensor]]") -> str:
    """Write `file`, an ONNX file whose linear weights and their inputs are in 8 bits; return how.

    The ranges of inputs are the smallest and largest values over `rows`, batches of the model's inputs.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    from dsee_bench.deploy.onnx_decoder import inputs_of

    inputs = inputs_of(source)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(rows)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.batches, None)
            return None if batch is None else inputs.fed(batch)

    narrow = _narrow()
    with _silent():
        quantize_static(
            source,
            file,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=LINEAR,
            per_channel=True,
            reduce_range=narrow,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Outputs would be cut to what the calibration saw, logits too.
            extra_options={"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": LINEAR},
        )
    return f"static by ONNX Runtime's quantizer (not NNCF), weights of {7 if narrow else 8} bits by output"


def _narrow() -> bool:
    """Whether weights take 7 of 8 bits: without VNNI or AMX, x86 adds two products in 16 bits, which would overflow."""
    found = isa().split()
    return "VNNI" not in found and "AMX" not in found and "DOTPROD" not in found


@contextmanager
def _silent() -> Iterator[None]:
    """Without the quantizer's advice to optimize the file first: torch's exporter has done so."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
