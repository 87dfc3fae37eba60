"""ONNX Runtime on the CPU, linear weights in 8 bits, their inputs' ranges found at each pass (dynamic quantization)."""

from pathlib import Path

from dsee_bench.deploy.engines import Deployed, Source
from dsee_bench.deploy.engines.onnxruntime import NEEDED as NEEDED
from dsee_bench.deploy.engines.onnxruntime import session
from dsee_bench.deploy.onnx_file import QUANTIZED_FILE, quantize


def deploy(source: Source, folder: Path) -> Deployed:
    """Return a session of the model's quantized ONNX file."""
    file = folder / QUANTIZED_FILE
    note = quantize(source.onnx(), file)
    return session(source, file, "int8", note)
