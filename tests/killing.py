"""A task that kills its process, as the kernel does when memory runs out."""

import os
import signal
from dataclasses import dataclass

from dsee_bench.tasks.toy import Toy


@dataclass(frozen=True)
class KilledAtSeed9(Toy):
    def load(self, data_dir, seed):
        if seed == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().load(data_dir, seed)
