"""Python imports this at its start where the folder is in PYTHONPATH: at seed 1 a toy task then fails, with secrets in
the error's text."""

import os

from dsee_bench.tasks.toy import Toy

load = Toy.load


def load_or_fail(self, data_dir, seed):
    if seed == 1:
        raise RuntimeError(f"failed with {os.environ['MINE']}, {os.environ['HF_ENDPOINT']}, {os.environ['HF_TOKEN']}")
    return load(self, data_dir, seed)


Toy.load = load_or_fail
