"""Python imports this at its start where the folder is in PYTHONPATH: a toy task then kills its process at seed 9, as
the kernel does when memory runs out."""

import os
import signal

from dsee_bench.tasks.toy import Toy

load = Toy.load


def load_or_die(self, data_dir, seed):
    if seed == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return load(self, data_dir, seed)


Toy.load = load_or_die
