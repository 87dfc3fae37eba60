"""ONNX Runtime on the CPU, float32: zeros cost what other entries cost, removed heads and neurons do not."""

from pathlib import Path

import torch

from dsee_bench.deploy.engines import Batch, Deployed, Source
from dsee_bench.system.provenance import device_name

NEEDED: tuple[str, ...] = ("onnx", "onnxscript", "onnxruntime")


def deploy(source: Source, folder: Path) -> Deployed:
    """Return a session of the model's ONNX file."""
    return session(source.onnx(), "fp32")


def session(file: Path, precision: str, note: str | None = None) -> Deployed:
    """Return a session of an ONNX file with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    opened = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    inputs = [given.name for given in opened.get_inputs()]

    def run(batch: Batch) -> torch.Tensor:
        return torch.from_numpy(opened.run(None, {name: batch[name].numpy() for name in inputs})[0])

    size = sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))  # large weights lie beside the file
    return Deployed(run, precision, size, device_name("cpu"), ("onnxruntime",), note=note)
