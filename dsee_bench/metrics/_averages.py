"""What metrics that average over classes or labels share."""

from collections.abc import Sequence
from typing import Any

from dsee_bench.metrics import Measured


def why_empty(**sides: Sequence[Any]) -> Measured | None:
    """Return why no label can be scored: none is set on these sides. None for classes, and where one is set."""
    if any(not isinstance(row, Sequence) or any(row) for rows in sides.values() for row in rows):
        return None
    return Measured(None, f"no label is set in the {' or the '.join(sides)}")
