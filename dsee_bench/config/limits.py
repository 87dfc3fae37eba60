"""Ranges of the numbers in settings, checked wherever a setting is read.

`Annotated[float, Limits(gt=0)]` takes a finite number above 0: no NaN, no infinity, no boolean, no text. pydantic's own
`Field(gt=0)` names one end of the range in its error, and has no room for the way out.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

LARGEST = 2**31 - 1  # of every number without a limit of its own: what 32 bits hold


@dataclass(frozen=True)
class Limits:
    """Range of one number, with pydantic's names. `hint` ends the error: what to do instead."""

    ge: float = -LARGEST
    gt: float = -math.inf
    le: float = LARGEST
    lt: float = math.inf
    hint: str | None = None

    def holds(self, value: float) -> bool:
        """Return whether `value` is in range; False for NaN and infinity."""
        return self.ge <= value <= self.le and self.gt < value < self.lt

    def rule(self, value: float) -> str:
        """Return what `value` must be, as the end of a sentence that begins with the setting's name."""
        low = f"({self.gt}" if self.gt > -math.inf else f"[{self.ge}"
        high = f"{self.lt})" if self.lt < math.inf else f"{self.le}]"
        if high != f"{LARGEST}]":
            return f"lie in {low}, {high}"
        if value > LARGEST:
            return f"be finite and at most {LARGEST}"
        return f"be at least {self.ge}" if low[0] == "[" else f"be above {self.gt}"

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import PydanticCustomError, core_schema

        def check(value: float) -> float:
            if not self.holds(value):
                hint = f"; {self.hint}" if self.hint else ""
                raise PydanticCustomError("limits", "must {rule}", {"rule": self.rule(value), "hint": hint})
            return value

        return core_schema.no_info_after_validator_function(check, {**handler(source), "strict": True})


Count = Annotated[int, Limits(ge=1)]
CountOrZero = Annotated[int, Limits(ge=0)]
Positive = Annotated[float, Limits(gt=0)]
NotNegative = Annotated[float, Limits(ge=0)]
Share = Annotated[float, Limits(ge=0, lt=1)]
Seed = Annotated[int, Limits(ge=0, hint="a seed is a whole number from 0 to 2^31 - 1")]
