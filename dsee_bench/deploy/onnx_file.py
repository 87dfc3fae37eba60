"""Export of a finished classifier as an ONNX file, for runtimes without torch: any batch, any length.

torch's own exporter (torch.export, then ONNX) writes it, so a narrowed model is as narrow there. The adapter is merged
into it, whatever `export_adapter` says. A model for multiple choice has a score for each pair of context and choice, to
be compared by softmax; one of several labels has logits for the sigmoid. A language model is left out: it would need
its cache among the inputs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsee_bench.models.heads import as_scorer
from dsee_bench.system.extras import require
from dsee_bench.tasks.example import CAUSAL

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ONNX_FILE = "model.onnx"
OUTPUT = "logits"
NEEDED = ("onnx", "onnxscript")  # imported by torch's exporter


def check_onnx(kind: str) -> None:
    """Raise ValueError, before anything is trained, if a model of this kind of task cannot be written here."""
    if kind in CAUSAL:
        raise ValueError("export_onnx=true writes classifiers and regressors; leave it out for a language model")
    require("onnx", "export_onnx=true", *NEEDED)


def write_onnx(
    model: "PreTrainedModel",  # no adapter modules, in transformers' own modules; it ends on the CPU, in float32
    tokenizer: "PreTrainedTokenizerBase",
    file: Path,
) -> None:
    """Write `model` to `file`: the tokenizer's outputs (batch, length) in, `logits` (batch, labels) out."""
    import logging

    import torch

    # It warns of torchvision's operators and of expressions that it does not simplify; a user can change neither.
    for name in ("torch.onnx", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    as_scorer(model)  # of multiple choice: a score a pair, as the number of choices varies
    model.config.use_cache = False  # else a decoder's keys and values are outputs too
    batch = tokenizer(["a text", "a longer text than the first"], padding=True, return_tensors="pt")
    dynamic = torch.export.Dim.DYNAMIC
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
