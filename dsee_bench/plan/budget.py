"""From a budget to a method's settings: what must go so that the final model costs no more than asked.

    dsee-bench method=dsee_structured budget.saved=0.35        35 % of the FLOPs, by formula
    dsee-bench method=dsee_structured budget.megabytes=60      of its weights in a file, by formula
    dsee-bench plan method=dsee_structured budget.latency_ms=80    a forward pass on this machine, timed
    dsee-bench method=dsee_update budget.trained=0.005         the adapter's share of the model: chooses the rank

Heads go whole and are few, neurons are many. For each number of heads the fewest neurons are found that meet the
budget; of these pairs the one whose two shares are closest is taken, as the paper removes as many of both.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from dsee_bench.config import ConfigError
from dsee_bench.models import auto
from dsee_bench.models.cost import forward_flops
from dsee_bench.models.spec import ModelSpec
from dsee_bench.plan import TOKENS, Settings, read
from dsee_bench.pruning import surgery
from dsee_bench.stages.attach import LowRank
from dsee_bench.stages.narrow import Narrow

if TYPE_CHECKING:
    from omegaconf import DictConfig

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}  # of a number in a file
ROWS = 32  # of a timed forward pass
DIGITS = 6  # of a share: they tell one neuron of 100,000
CLOSE_ENOUGH = 0.97  # of the time asked for, to be content with
FAR = 1.05  # of the time asked for: a choice that takes more does not meet it
REMEASURED = 3  # how often a choice by the clock is timed, and made again

S = TypeVar("S")
Meter = Callable[[float, float], float]  # what a model costs without these shares of heads and of neurons


def resolve(composed: "DictConfig") -> dict[str, Any]:
    """Return the plain values of a composed configuration, with all that its settings stand for."""
    return met(auto.resolve(composed))


def met(resolved: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with the settings that meet its budget; as it is without one.

    ConfigError where the method has nothing to choose, or where the budget is out of reach.
    """
    budget = resolved.get("budget") or {}
    if not any(value is not None for value in budget.values()):
        return resolved
    changed = copy.deepcopy(resolved)
    for key, choose in (*((key, _shares) for key in ("saved", "megabytes", "latency_ms")), ("trained", _rank)):
        if budget.get(key) is not None:
            settings = read(changed)
            stage, values = choose(settings, key)
            changed["method"]["stages"][stage].update(values)
    return changed


# --- heads and neurons ------------------------------------------------------------------------------------------------


def words(settings: Settings) -> list[str]:
    """Return the words that set what a budget chose, for a command without it; none where there is no budget."""
    budget = settings.launch.budget
    chosen = []
    for name, stage in settings.stages.items():
        if isinstance(stage, Narrow) and (budget.saved or budget.megabytes or budget.latency_ms):
            chosen += [f"method.stages.{name}.{key}={getattr(stage, key)}" for key in ("heads", "ffn")]
        if isinstance(stage, LowRank) and budget.trained:
            chosen += [f"method.stages.{name}.{key}={getattr(stage, key)}" for key in ("rank", "alpha")]
    return chosen


def _shares(settings: Settings, key: str) -> tuple[str, dict[str, float]]:
    """Return the narrowing stage, and the shares of heads and neurons to remove."""
    name, stage = _stage(settings, Narrow, "removes heads and neurons", "method=dsee_structured", key)
    before = _planned(settings, stop=name)
    asked: float = getattr(settings.launch.budget, key)
    untouched = settings.backbone.spec(settings.labels)

    def final(heads: float, ffn: float) -> ModelSpec:
        removed = {"heads": heads, "ffn": ffn} if heads or ffn else None
        return _planned(settings, start=name, spec=before, changed={name: removed})

    pairs = list(_pairs(stage, before))
    if key == "saved":
        dense = forward_flops(untouched, TOKENS)
        pair = closest(pairs, lambda *shares: forward_flops(final(*shares), TOKENS), (1 - asked) * dense)
    elif key == "megabytes":
        pair = closest(pairs, lambda *shares: _bytes(settings, final(*shares)), 1e6 * asked)
    else:
        pair = _by_the_clock(settings, pairs, asked)
    if pair is None or not any(pair):
        reached = _reached(settings, key, pairs, final)
        raise ConfigError(f"budget.{key}={asked:g} is out of reach of method {settings.method}: {reached}")
    return name, dict(zip(("heads", "ffn"), pair, strict=True))


def _pairs(stage: Narrow, before: ModelSpec) -> Iterator[tuple[float, Callable[[int], float], int]]:
    """Yield for each share of heads that can go: it, the share that a number of neurons is, and the most of these."""
    heads, neurons = min(surgery.head_groups(before)), min(surgery.neurons(before))
    for gone in range(heads if stage.heads else 1):
        yield round(gone / heads, DIGITS), lambda n: round(n / neurons, DIGITS), neurons - 1 if stage.ffn else 0


def closest(
    pairs: list[tuple[float, Callable[[int], float], int]], meter: Meter, most: float
) -> tuple[float, float] | None:
    """Return the shares of heads and neurons to remove so that `meter` gives `most` or less; None where none do.

    `meter` must fall as more goes. For each share of heads the fewest neurons are taken; of these pairs the one whose
    two shares are closest, and of two such pairs the one with fewer heads.
    """
    meeting = []
    for heads, share, last in pairs:
        if meter(heads, share(last)) > most:
            continue
        low, high = 0, last  # the fewest neurons that meet it lie in [low, high]
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if meter(heads, share(middle)) <= most else (middle + 1, high)
        meeting.append((heads, share(low)))
    return min(meeting, key=lambda pair: abs(pair[0] - pair[1]), default=None)


def _bytes(settings: Settings, spec: ModelSpec) -> int:
    """Bytes of the weights of a final model in a file, its adapter merged."""
    return BYTES[settings.backbone.dtype or "float32"] * spec.pretrained + BYTES["float32"] * spec.head


def _reached(settings: Settings, key: str, pairs: list[Any], final: Callable[[float, float], ModelSpec]) -> str:
    """Say between which ends the budget may lie."""
    if key == "latency_ms":
        return "removing all but a head and a neuron a layer is not enough, or nothing has to go"
    heads, share, last = pairs[-1]
    ends = [settings.backbone.spec(settings.labels), final(heads, share(last))]
    if key == "saved":
        dense, least = (forward_flops(spec, TOKENS) for spec in ends)
        return f"with a head and a neuron left in each layer it saves {1 - least / dense:.3f}"
    whole, smallest = (_bytes(settings, spec) / 1e6 for spec in ends)
    return f"the whole model has {whole:.1f} MB, and with a head and a neuron left in each layer {smallest:.1f} MB"


# --- by the clock -----------------------------------------------------------------------------------------------------


def _by_the_clock(settings: Settings, pairs: list[Any], asked: float) -> tuple[float, float] | None:
    """Choose by the time of a forward pass on this machine, of models with random weights.

    Time is taken to fall evenly with the shares, as measured at half of the heads and half of the neurons; the choice
    is timed, and made again with what the estimate was off by.
    """
    if not settings.launch.plan:
        raise ConfigError(
            f"budget.latency_ms={asked:g} is measured, so the same command could give another model the next time; "
            "add plan=true, and run with the settings that it prints"
        )
    slopes, dense = [], 0.0
    for half in ((0.5, 0.0), (0.0, 0.5)):
        final, dense = timed(settings, *half)
        slopes.append(max(0.0, 2 * (1 - final / dense)))
    off = 1.0
    for _ in range(REMEASURED):
        estimate = _line(dense * off, *slopes)
        pair = closest(pairs, estimate, asked)
        if pair is None or not any(pair):
            return pair
        final, dense = timed(settings, *pair)
        if CLOSE_ENOUGH * asked <= final <= asked:
            break
        off *= final / estimate(*pair)
    else:
        if final > FAR * asked:
            raise ConfigError(
                f"budget.latency_ms={asked:g} was missed {REMEASURED} times, the last choice takes {final:.1f} ms; "
                "plan on an idle machine, or ask for less"
            )
    return pair


def _line(whole: float, of_heads: float, of_ffn: float) -> Meter:
    return lambda heads, ffn: whole * (1 - of_heads * heads - of_ffn * ffn)


def timed(settings: Settings, heads: float, ffn: float) -> tuple[float, float]:
    """Return milliseconds of a forward pass without these shares of heads and neurons, and of the whole model."""
    import statistics

    import torch

    from dsee_bench.adapters.removal import remove
    from dsee_bench.deploy.timing import in_turn

    if settings.launch.threads is not None:
        torch.set_num_threads(settings.launch.threads)
    backbone = replace(settings.backbone, random=True)
    spec = backbone.spec(settings.labels)
    model, whole = (
        (backbone.load_lm() if settings.labels is None else backbone.load(settings.labels, regression=False)).model
        for _ in range(2)
    )
    kept = [
        [torch.arange(max(1, round(count * (1 - share)))) for count in counts]
        for counts, share in ((surgery.head_groups(spec), heads), (surgery.neurons(spec), ffn))
    ]
    remove(model, spec, {}, *kept)
    if settings.launch.device == "auto" and torch.accelerator.is_available():
        model, whole = (each.to(torch.accelerator.current_accelerator()) for each in (model, whole))
    ids = torch.randint(model.config.vocab_size, (ROWS, TOKENS), generator=torch.Generator().manual_seed(0))
    ids = ids.to(model.device)

    def answer(of: Any) -> None:
        with torch.inference_mode():
            of(input_ids=ids, attention_mask=torch.ones_like(ids))
        if ids.device.type != "cpu":
            torch.accelerator.synchronize()

    timed = in_turn(lambda: answer(model.eval()), lambda: answer(whole.eval()), seconds=settings.launch.measure_seconds)
    return statistics.median(timed.first), statistics.median(timed.second)


# --- rank -------------------------------------------------------------------------------------------------------------


def _rank(settings: Settings, key: str) -> tuple[str, dict[str, float]]:
    """Return the low-rank stage, and the largest rank whose adapter is at most this share of the pretrained model.

    The adapter is that of the final model; the scaling alpha / R stays as it was.
    """
    name, stage = _stage(settings, LowRank, "attaches a low-rank update", "method=dsee_update", key)
    asked: float = getattr(settings.launch.budget, key)
    whole = settings.backbone.spec(settings.labels).pretrained

    def share(rank: int) -> float:
        changed = {"rank": rank, "alpha": stage.alpha * rank / stage.rank}
        return _planned(settings, changed={name: changed}).adapter / whole

    if share(1) > asked:
        raise ConfigError(
            f"budget.trained={asked:g} is out of reach: at rank 1 the adapter is {share(1):.5f} of the model"
        )
    before = _planned(settings, stop=name)
    sites = set(stage.sites(before))
    low, high = 1, min(min(w.outputs, w.inputs) for w in before.weights if w.site in sites)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if share(middle) <= asked else (low, middle - 1)
    return name, {"rank": low, "alpha": stage.alpha * low / stage.rank}


# --- plans ------------------------------------------------------------------------------------------------------------


def _stage(settings: Settings, kind: type[S], does: str, instead: str, key: str) -> tuple[str, S]:
    """Return the one stage of this kind with its name; ConfigError where there is none, or more than one."""
    found = [(name, stage) for name, stage in settings.stages.items() if isinstance(stage, kind)]
    if len(found) != 1:
        asked = getattr(settings.launch.budget, key)
        raise ConfigError(
            f"budget.{key}={asked:g} needs a method with one stage that {does}, and {settings.method} has "
            f"{len(found)}; choose another, as {instead}"
        )
    return found[0]


def _planned(
    settings: Settings,
    *,
    start: str | None = None,
    stop: str | None = None,
    spec: ModelSpec | None = None,
    changed: Mapping[str, Mapping[str, Any] | None] = MappingProxyType({}),
) -> ModelSpec:
    """Return the model after the stages from `start` to the one before `stop`; those changed to None are left out."""
    spec = spec or settings.backbone.spec(settings.labels)
    names = list(settings.stages)
    for name in names[names.index(start) if start else 0 : names.index(stop) if stop else None]:
        settings_of_stage = changed.get(name, {})
        if settings_of_stage is None:
            continue
        try:
            stage: Any = settings.stages[name]
            spec = replace(stage, **settings_of_stage).plan(spec)
        except ValueError as error:
            raise ConfigError(f"method.stages.{name}: {error}") from error
    return spec
