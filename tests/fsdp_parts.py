"""`dsee-bench`, and beside it the bytes that this process has of weights, gradients and optimizer while FSDP tunes.

torchrun ... tests/fsdp_parts.py FILE WORDS...   The main process writes them to FILE as JSON.
"""

import json
import sys
from pathlib import Path

from torch.distributed.tensor import DTensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from dsee_bench.cli.bench import main
from dsee_bench.system import distributed
from dsee_bench.training import sharded

found = {}
gather = sharded.gather


def own(values):
    return sum((value.to_local() if isinstance(value, DTensor) else value).nbytes for value in values)


def after_step(optimizer, *_):
    parameters = [value for group in optimizer.param_groups for value in group["params"]]
    found["gradients"] = own(value.grad for value in parameters)
    moments = [value for state in optimizer.state.values() for value in state.values()]
    found["optimizer"] = own(value for value in moments if value.ndim)


def gather_and_count(part, whole):
    found["weights"] = own(part.parameters()) + own(whole.parameters())
    gather(part, whole)


register_optimizer_step_post_hook(after_step)
sharded.gather = gather_and_count
path = Path(sys.argv.pop(1))
try:
    main()
finally:
    if distributed.is_main_process():
        path.write_text(json.dumps(found))
