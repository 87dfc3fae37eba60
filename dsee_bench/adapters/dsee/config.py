"""The settings of one DSEE adapter, as PEFT keeps them: in code, and in adapter_config.json beside the weights."""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, get_args

from peft.config import PeftConfig

from dsee_bench.pruning import Placement

# "stored": the positions come with saved weights, as PeftModel.from_pretrained loads them.
Positions = Placement | Literal["stored"]


class PeftType(StrEnum):
    """PEFT's name of the method: `DSEE`, and in saved files a sentence, which PEFT prints where it knows no DSEE."""

    DSEE = "DSEE"
    SAVED = "DSEE, which PEFT knows after `import dsee_bench`"


@dataclass
class DseeConfig(PeftConfig):
    """W' = W + s (U V + S2), s = lora_alpha / r. The defaults are the paper's for BERT-base.

    On a model, `num_entries` says how many entries each module has, by its full name, so that a saved adapter is loaded
    into the right shapes even where modules differ. Give each model a config of its own.
    """

    r: int = 16  # R, the rank of U V
    lora_alpha: float = 32
    num_entries: int | dict[str, int] = 64  # K of each block of rows; or by module name K of all its blocks, else 0
    positions: Positions = "decomposition"  # where the K entries sit
    target_modules: list[str] | set[str] | str | None = None  # name endings, or one regular expression
    row_blocks: dict[str, list[list[int]]] | None = None  # name ending -> output rows [start, stop) adapted; None: all
    dropout: float = 0.0  # on the input of U V, as in LoRA
    init_std: float = 0.02  # of V at the start
    masked: bool = False  # the adapter is masked as W is; the masks come with saved weights
    seed: int = 0  # of V and of the positions
    modules_to_save: list[str] | None = None  # trained and saved whole: the task head
    exclude_modules: list[str] | str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.DSEE
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)
        if self.r < 1:
            raise ValueError(f"r must be at least 1, got {self.r}; for sparse entries alone use PEFT's Supertuning")
        if not 0 < self.lora_alpha < math.inf:
            raise ValueError(f"lora_alpha must be finite and above 0, got {self.lora_alpha}; it is the scale s times r")
        if not 0 <= self.init_std < math.inf:
            raise ValueError(f"init_std must be finite and not negative, got {self.init_std}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")
        counts = self.num_entries.values() if isinstance(self.num_entries, dict) else [self.num_entries]
        if any(count < 0 for count in counts):
            raise ValueError(f"num_entries must not be negative, got {self.num_entries}; 0 is plain LoRA")
        choices = [name for part in get_args(Positions) for name in get_args(part)]
        if self.positions not in choices:
            raise ValueError(f"unknown positions {self.positions!r}; there is {', '.join(choices)}")

    def save_pretrained(self, save_directory: str, **kwargs: object) -> None:
        """Write adapter_config.json; the positions are then to be read from the weights, not chosen again."""
        saved = replace(self, positions="stored")
        saved.peft_type = PeftType.SAVED
        PeftConfig.save_pretrained(saved, save_directory, **kwargs)

    def blocks(self, name: str, outputs: int) -> list[tuple[int, int]]:
        """The blocks of output rows of module `name` that are adapted, in order: by default one of all `outputs`."""
        ends = [end for end in self.row_blocks or {} if name == end or name.endswith("." + end)]
        if not ends or self.row_blocks is None:
            return [(0, outputs)]
        asked = self.row_blocks[max(ends, key=len)]
        blocks = [(start, stop) for start, stop in asked]
        edges = [0, *(edge for block in blocks for edge in block), outputs]
        if not blocks or edges != sorted(edges) or any(start == stop for start, stop in blocks):
            raise ValueError(
                f"row_blocks of {name} must be [start, stop) pairs within its {outputs} rows, ascending and apart, "
                f"got {asked}"
            )
        return blocks

    def counts(self, name: str, blocks: int) -> list[int]:
        """K of each of the `blocks` blocks of module `name`."""
        if isinstance(self.num_entries, int):
            return [self.num_entries] * blocks
        each, rest = divmod(self.num_entries.get(name, 0), blocks)
        if rest and self.positions != "stored":
            raise ValueError(
                f"num_entries {self.num_entries[name]} of {name} does not divide into its {blocks} row blocks"
            )
        return [each + (block < rest) for block in range(blocks)]
