"""Ranges of the numbers in settings, checked wherever a setting is read.

`Annotated[float, Limits(above=0)]` takes a finite number above 0: no NaN, no infinity, no boolean, no text.
"""

from dataclasses import dataclass
from typing import Annotated, Any

LARGEST = 2**31 - 1  # of every number without a limit of its own: what 32 bits hold


@dataclass(frozen=True)
class Limits:
    """The range of one number. `hint` ends the error: what to do instead."""

    least: float | None = None  # the smallest value
    above: float | None = None  # every value is larger
    most: float | None = None  # the largest value
    below: float | None = None  # every value is smaller
    hint: str | None = None

    def holds(self, value: float) -> bool:
        """Whether `value` is in range; False for NaN and infinity."""
        low = value >= (-LARGEST if self.least is None else self.least) and (self.above is None or value > self.above)
        high = value <= (LARGEST if self.most is None else self.most) and (self.below is None or value < self.below)
        return low and high

    def rule(self, value: float) -> str:
        """What `value` must be, the end of a sentence that begins with the setting's name."""
        low = None if self.above is self.least is None else f"[{self.least}" if self.above is None else f"({self.above}"
        high = None if self.most is self.below is None else f"{self.most}]" if self.below is None else f"{self.below})"
        if low and high:
            return f"lie in {low}, {high}"
        if value > LARGEST and high is None:
            return f"be finite and at most {LARGEST}"
        return f"be at least {self.least}" if self.above is None else f"be above {self.above}"

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import PydanticCustomError, core_schema

        def check(value: float) -> float:
            if not self.holds(value):
                hint = f"; {self.hint}" if self.hint else ""
                raise PydanticCustomError("limits", "must {rule}", {"rule": self.rule(value), "hint": hint})
            return value

        return core_schema.no_info_after_validator_function(check, {**handler(source), "strict": True})


Count = Annotated[int, Limits(least=1)]
CountOrZero = Annotated[int, Limits(least=0)]
Positive = Annotated[float, Limits(above=0)]
NotNegative = Annotated[float, Limits(least=0)]
Share = Annotated[float, Limits(least=0, below=1)]
Seed = Annotated[int, Limits(least=0, hint="a seed is a whole number from 0 to 2^31 - 1")]
