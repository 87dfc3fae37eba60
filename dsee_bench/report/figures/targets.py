"""Sparsity by layer and weight, as a heat map and as text: where the zeros of a pruned model are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from tabulate import tabulate

from dsee_bench.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_LAYER = "–"


@dataclass(frozen=True)
class Grid:
    """Shares of zeros (0-1): a row a layer, a column a kind of weight, None where a layer has no such weight."""

    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    shares: tuple[tuple[float | None, ...], ...]


def sparsity_by_site(record: Record) -> dict[str, float] | None:
    """What the last stage that zeroed weights left in each site; None if no stage did."""
    found = [stage.facts["sparsity_by_site"] for stage in record.stages if "sparsity_by_site" in stage.facts]
    return found[-1] if found else None


def grid(by_site: Mapping[str, float]) -> Grid:
    """Site names ordered by the first number in them, which is the layer's, and by what follows it."""
    places = {name: _place(name) for name in by_site}
    layers = sorted({layer for layer, _ in places.values()}, key=lambda layer: (layer == NO_LAYER, len(layer), layer))
    kinds = list(dict.fromkeys(kind for _, kind in places.values()))
    cells = {places[name]: share for name, share in by_site.items()}
    return Grid(
        tuple(layers), tuple(kinds), tuple(tuple(cells.get((layer, kind)) for kind in kinds) for layer in layers)
    )


def mean_by_site(records: Sequence[Record]) -> dict[str, float] | None:
    """The mean over runs; None unless all of them have the same sites."""
    found = [sparsity_by_site(record) for record in records]
    had = [each for each in found if each is not None]
    if len(had) < len(found) or not had or any(each.keys() != had[0].keys() for each in had):
        return None
    return {name: fmean(each[name] for each in had) for name in had[0]}


def heatmap(axes: "Axes", by_site: Mapping[str, float], darkest: float) -> None:
    """Dark where much is zeroed, from nothing to the share `darkest`, with the percentage in each cell."""
    drawn = grid(by_site)
    values = [[float("nan") if share is None else 100 * share for share in row] for row in drawn.shares]
    axes.imshow(values, cmap="cividis_r", vmin=0, vmax=100 * darkest, aspect="auto")
    axes.grid(False)
    axes.set_xticks(range(len(drawn.kinds)), drawn.kinds, rotation=30, ha="right", rotation_mode="anchor", fontsize=6)
    axes.set_yticks(range(len(drawn.layers)), drawn.layers, fontsize=6)
    axes.set_ylabel("layer")
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            if value == value:
                colour = "white" if value > 50 * darkest else "black"
                axes.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=6, color=colour)


def masks_text(record: Record) -> str:
    """The grid in per cent as a screen of text; ValueError if the run pruned nothing."""
    by_site = sparsity_by_site(record)
    if by_site is None:
        names = ", ".join(stage.name for stage in record.stages) or "none"
        raise ValueError(f"{record.run_id} has no stage that zeroed single weights (stages: {names})")
    drawn = grid(by_site)
    lines = [
        [layer, *("–" if share is None else f"{100 * share:.1f}" for share in row)]
        for layer, row in zip(drawn.layers, drawn.shares, strict=True)
    ]
    table = tabulate(lines, headers=["layer", *drawn.kinds], tablefmt="simple", disable_numparse=True, stralign="right")
    return f"{record.run_id}: per cent of each weight that is zero\n\n{table}"


def _place(name: str) -> tuple[str, str]:
    """`bert.encoder.layer.3.attention.self.query` as ("3", "query"), `bert.pooler.dense` as ("–", "bert.pooler")."""
    split = re.match(r"^.*?\.(\d+)\.(.*)$", name)
    layer, rest = (split[1], split[2]) if split else (NO_LAYER, name)
    return layer, rest.removesuffix(".dense").removeprefix("attention.self.")
