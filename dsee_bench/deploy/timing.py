"""Time two models in turn, round after round, until the ratio of their times is sure.

The ratio is the median over the rounds of (time of the first) / (time of the second). Its 95 % interval is the one of
order statistics, which asks nothing of the noise (scipy.stats.quantile_test). It is looked at after every round, so
it is a little narrow: of 2,000 made-up series with a noise of 3 % (10 %) it held the truth in 94 % (92 %).
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEAST = 9  # rounds; the interval of nine is from the second to the eighth of the ratios
SURE = 0.02  # half of the interval's width, as a share of the ratio, at which timing ends
SHORTEST = 0.005  # seconds of one sample; a shorter pass is repeated within it
CONFIDENCE = 0.95

Pass = Callable[[], object]  # one forward pass, finished when it returns


@dataclass(frozen=True)
class Timed:
    """Milliseconds of one pass of each model, a round each, and the ratio of the first to the second."""

    first: tuple[float, ...]
    second: tuple[float, ...]
    ratio: float
    interval: tuple[float, float]  # 95 %, of the ratio
    seconds: float  # that the timing took
    noisy: str | None  # why the interval is wider than asked


def in_turn(
    first: Pass, second: Pass, *, seconds: float, least: int = LEAST, sure: float = SURE, shortest: float = SHORTEST
) -> Timed:
    """Time both models until the half width of the ratio's interval is below `sure`, or `seconds` have passed.

    A slow moment hits both, as they take turns; each round begins with the other one. There are `least` rounds or more.
    """
    started = time.perf_counter()
    counts = [_passes(one, shortest) for one in (first, second)]  # this warms up, too
    times: tuple[list[float], list[float]] = ([], [])
    while True:
        for which in (0, 1) if len(times[0]) % 2 == 0 else (1, 0):
            times[which].append(_milliseconds((first, second)[which], counts[which]))
        if len(times[0]) < least:
            continue
        ratio, interval = ratio_of(*times)
        half, spent = (interval[1] - interval[0]) / 2 / ratio, time.perf_counter() - started
        if half < sure or spent > seconds:
            break
    known = f"after {len(times[0])} rounds in {spent:.0f} s the ratio is known to ± {half:.1%}, not {sure:.0%}"
    noisy = f"too noisy: {known}" if half >= sure else None
    return Timed(tuple(times[0]), tuple(times[1]), ratio, interval, round(spent, 3), noisy)


def ratio_of(first: Sequence[float], second: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Return the median ratio of paired times, and its 95 % interval; (-inf, inf) of fewer than six pairs."""
    from scipy.stats import quantile_test

    ratios = [a / b for a, b in zip(first, second, strict=True)]
    if len(ratios) < 6:  # their smallest and largest hold the median in less than 95 % of cases
        return statistics.median(ratios), (float("-inf"), float("inf"))
    found = quantile_test(ratios, q=1, p=0.5).confidence_interval(CONFIDENCE)
    return statistics.median(ratios), (float(found.low), float(found.high))


def _passes(one: Pass, shortest: float) -> int:
    """How many passes one sample has, by the fastest of three; the first one, which may compile, does not count."""
    one()
    taken = min(_milliseconds(one, 1) for _ in range(3)) / 1000
    return max(1, round(shortest / max(taken, 1e-7)))


def _milliseconds(one: Pass, passes: int) -> float:
    started = time.perf_counter()
    for _ in range(passes):
        one()
    return 1000 * (time.perf_counter() - started) / passes
