"""OpenVINO on the CPU, float32: zeros cost what other entries cost, removed heads and neurons do not."""

from pathlib import Path

import numpy as np
import torch

from dsee_bench.deploy.engines import Deployed, Source
from dsee_bench.deploy.engines._onnx import on_file
from dsee_bench.deploy.onnx_decoder import Arrays

NEEDED: tuple[str, ...] = ("onnx", "onnxscript", "openvino")


def deploy(source: Source, folder: Path) -> Deployed:
    """Return the model's ONNX file as OpenVINO compiles it."""
    return compiled(source, source.onnx(), folder, "fp32")


def compiled(source: Source, file: Path, folder: Path, precision: str, note: str | None = None) -> Deployed:
    """Return an ONNX file compiled for one request at a time, with as many threads as torch has.

    It is read by the runtime itself. OpenVINO's converter, which reports its use to Intel, is not called.
    """
    import openvino

    core = openvino.Core()
    model = core.read_model(file)
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",  # else it is bfloat16 where the processor multiplies that
        "PERFORMANCE_HINT": "LATENCY",
    }
    opened = core.compile_model(model, "CPU", settings)

    def answer(given: Arrays) -> list[np.ndarray]:
        found = opened(dict(given))
        return [found[place].copy() for place in range(len(opened.outputs))]  # the request writes there again

    size = sum(path.stat().st_size for path in folder.glob("model.*"))
    return on_file(answer, source, file, precision, bytes=size, packages=("openvino",), note=note)
