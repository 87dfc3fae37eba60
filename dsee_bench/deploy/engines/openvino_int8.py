"""OpenVINO on the CPU, linear weights and their inputs in 8 bits, ranges from training rows (static quantization).

ONNX Runtime's quantizer writes the ranges into the ONNX file, and OpenVINO computes by them. Its own quantizer, NNCF,
also corrects what the rounding shifts; it is no dependency here.
"""

from pathlib import Path

from dsee_bench.deploy.engines import Deployed, Source
from dsee_bench.deploy.engines.openvino import compiled
from dsee_bench.deploy.onnx_file import QUANTIZED_FILE, calibrate

NEEDED = ("onnx", "onnxscript", "onnxruntime", "openvino")


def deploy(source: Source, folder: Path) -> Deployed:
    """Return the model's calibrated ONNX file as OpenVINO compiles it."""
    file = folder / QUANTIZED_FILE
    note = calibrate(source.onnx(), file, source.rows())
    return compiled(source, file, folder, "int8", note)
