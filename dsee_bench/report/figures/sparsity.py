"""Sparsity by layer and kind of weight, as a heat map: where the zeros of a pruned model are."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from dsee_bench.models.spec import Kind, Site
from dsee_bench.record import Record
from dsee_bench.report.records import sparsity_by_site

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_LAYER = "–"
Grid = tuple[list[Kind], dict[str, list[float | None]]]  # kinds; layer -> share of zeros (0-1) by kind, None: no weight


def grid(shares: Mapping[Site, float]) -> Grid:
    """Lay the weights out: a row a layer, those outside the layers last, and a column a kind, in model order."""
    kinds = list(dict.fromkeys(site.kind for site in shares))
    layers = sorted({site.layer for site in shares}, key=lambda layer: (layer is None, layer))
    by_place = defaultdict(list)  # two weights in one place: DeBERTa's projections of positions, of one shape
    for site, share in shares.items():
        by_place[site.layer, site.kind].append(share)
    means = {place: fmean(values) for place, values in by_place.items()}
    lines = {layer: [means.get((layer, kind)) for kind in kinds] for layer in layers}
    return kinds, {NO_LAYER if layer is None else str(layer): line for layer, line in lines.items()}


def mean_sparsity(records: Sequence[Record]) -> dict[Site, float] | None:
    """Return the mean share of zeros of each weight over runs; None unless all of them pruned the same weights."""
    shares = [sparsity_by_site(record) for record in records]
    pruned = [by_site for by_site in shares if by_site is not None]
    if len(pruned) < len(shares) or not pruned or any(by_site.keys() != pruned[0].keys() for by_site in pruned):
        return None
    return {site: fmean(by_site[site] for by_site in pruned) for site in pruned[0]}


def draw_heatmaps(records: Mapping[str, Sequence[Record]], path: Path) -> list[Path]:
    """Draw a panel for each row, by label, whose runs pruned: the mean over its tasks and seeds."""
    from dsee_bench.report.figures.figure import panels

    means = {label: mean_sparsity(runs) for label, runs in records.items()}
    maps = {label: shares for label, shares in means.items() if shares is not None}
    if not maps:
        return []
    darkest = max(max(shares.values()) for shares in maps.values())
    layers = max(len(grid(shares)[1]) for shares in maps.values())
    with panels(list(maps), across=2, size=(3.2, 0.8 + 0.14 * layers)) as sheet:
        for axes, shares in zip(sheet.axes, maps.values(), strict=True):
            heatmap(axes, shares, darkest)
        return sheet.save(path)


def heatmap(axes: "Axes", shares: Mapping[Site, float], darkest: float) -> None:
    """Draw the grid, dark where much is zeroed, up to the share `darkest`, with the percentage in each place."""
    kinds, lines = grid(shares)
    values = [[float("nan") if share is None else 100 * share for share in line] for line in lines.values()]
    axes.imshow(values, cmap="cividis_r", vmin=0, vmax=100 * darkest, aspect="auto")
    axes.grid(False)
    axes.set_xticks(range(len(kinds)), kinds, rotation=30, ha="right", rotation_mode="anchor", fontsize=6)
    axes.set_yticks(range(len(lines)), list(lines), fontsize=6)
    axes.set_ylabel("layer")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            if value == value:  # not NaN
                colour = "white" if value > 50 * darkest else "black"
                axes.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=6, color=colour)
