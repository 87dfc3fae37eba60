"""Export of a finished classifier as an ONNX file, for runtimes without torch: any batch, any length.

torch's own exporter (torch.export, then ONNX) writes it, so a narrowed model is as narrow there. The adapter is merged
into it, whatever `export_adapter` says. A model for multiple choice has a score for each pair of context and choice, to
be compared by softmax; one of several labels has logits for the sigmoid. A language model is left out: it would need
its cache among the inputs.
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
from dsee_bench.tasks.example import CAUSAL

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ONNX_FILE = "model.onnx"
QUANTIZED_FILE = "model_quantized.onnx"  # the name that optimum gives it, too
OUTPUT = "logits"
NEEDED = ("onnx", "onnxscript")  # imported by torch's exporter
LINEAR = ["MatMul", "Gemm"]  # what is quantized, where one side is a weight


def check_onnx(kind: str, quantized: str | None = None) -> None:
    """Raise ValueError, before anything is trained, if a model of this kind of task cannot be written here."""
    if kind in CAUSAL:
        raise ValueError("export_onnx=true writes classifiers and regressors; leave it out for a language model")
    require("onnx", "export_onnx=true", *NEEDED)
    if quantized is not None:
        require("engines", f"export_quantize={quantized}", "onnxruntime")


def write_onnx(
    model: "PreTrainedModel",  # no adapter modules, in transformers' own modules; it ends on the CPU, in float32
    tokenizer: "PreTrainedTokenizerBase",
    file: Path,
) -> None:
    """Write `model` to `file`: the tokenizer's outputs (batch, length) in, `logits` (batch, labels) out."""
    import torch

    # It warns of torchvision's operators and of expressions that it does not simplify; a user can change neither.
    for name in ("torch.onnx", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    as_scorer(model)  # of multiple choice: a score a pair, as the number of choices varies
    model.config.use_cache = False  # else a decoder's keys and values are outputs too
    batch = tokenizer(["a text", "a longer text than the first"], padding=True, return_tensors="pt")
    dynamic = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's exporter about torch
        program: Any = torch.onnx.export(
            model.cpu().float().eval(),
            kwargs=dict(batch),
            dynamo=True,
            input_names=list(batch),
            output_names=[OUTPUT],
            dynamic_shapes={name: {0: dynamic, 1: dynamic} for name in batch},
            verbose=False,
        )
    program.save(file)


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
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    inputs = [given.name for given in onnx.load(source, load_external_data=False).graph.input]

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(rows)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.batches, None)
            return None if batch is None else {name: batch[name].numpy() for name in inputs}

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
