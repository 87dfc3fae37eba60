"""ONNX Runtime on the CPU, float32: zeros cost what other entries cost, removed heads and neurons do not."""

from pathlib import Path

import torch

from dsee_bench.deploy.engines import Deployed, Source
from dsee_bench.deploy.engines._onnx import on_file

NEEDED: tuple[str, ...] = ("onnx", "onnxscript", "onnxruntime")


def deploy(source: Source, folder: Path) -> Deployed:
    """Return a session of the model's ONNX file."""
    return session(source, source.onnx(), "fp32")


def session(source: Source, file: Path, precision: str, note: str | None = None) -> Deployed:
    """Return a session of an ONNX file with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    opened = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    size = sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))  # large weights lie beside the file
    packages = ("onnxruntime",)
    return on_file(
        lambda given: opened.run(None, given), source, file, precision, bytes=size, packages=packages, note=note
    )
