"""What the engines made of ONNX files share."""

from pathlib import Path
from typing import Any

import torch

from dsee_bench.deploy.engines import Batch, Deployed, Source
from dsee_bench.deploy.onnx_decoder import Answer, Decoder, inputs_of
from dsee_bench.system.provenance import device_name


def on_file(answer: Answer, source: Source, file: Path, precision: str, **more: Any) -> Deployed:
    """Return what a runtime makes of an ONNX file; of a language model it writes texts, too."""
    inputs = inputs_of(file)

    def run(batch: Batch) -> torch.Tensor:
        return torch.from_numpy(answer(inputs.fed(batch))[0])

    config: Any = source.module.config if inputs.past else None
    module = None if config is None else Decoder(config, answer, inputs)
    return Deployed(run, precision, device=device_name("cpu"), module=module, **more)
