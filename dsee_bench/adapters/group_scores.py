"""How much each attention head or feed-forward neuron of a layer matters, by each score of structured pruning."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from dsee_bench.adapters.coefficient import coefficients_of
from dsee_bench.adapters.protocol import adapter_of
from dsee_bench.models.access import module_at, weight_of
from dsee_bench.models.spec import FFN, Kind, LinearSpec, ModelSpec
from dsee_bench.pruning import GroupScore
from dsee_bench.pruning.calibration import input_losses
from dsee_bench.pruning.groups import column_scores, row_scores
from dsee_bench.pruning.surgery import SCORED_HEADS


def group_scores(
    model: nn.Module,
    spec: ModelSpec,
    score: GroupScore,
    rows: Sequence[Kind],  # sites whose rows go with a group
    columns: Sequence[Kind],  # sites whose columns do
    counts: Sequence[int],  # groups of each layer
    *,
    losses: Iterable[Tensor],  # of a few batches, for `gradient`
    generator: torch.Generator,  # for `random`
) -> list[Tensor]:  # (groups,) for each layer
    """Return a score of each group; larger is kept. Heads and neurons differ only in `rows` and `columns`."""
    if score == "random":
        return [torch.rand(count, generator=generator) for count in counts]
    layers = [[w for w in spec.weights if w.site.layer == layer] for layer in range(len(counts))]
    if score == "gradient":
        return _losses(model, layers, columns, counts, losses)
    if score == "coefficient":
        return [_coefficients(model, weights, columns, count) for weights, count in zip(layers, counts, strict=True)]
    return [_sums(model, weights, score, rows, columns, count) for weights, count in zip(layers, counts, strict=True)]


def _sums(
    model: nn.Module,
    weights: Sequence[LinearSpec],  # of one layer
    score: GroupScore,
    rows: Sequence[Kind],
    columns: Sequence[Kind],
    groups: int,
) -> Tensor:
    """Sums of |W|, of |U V + S2| or of both over all that goes with a group; a delta counts where it is scored."""
    total = torch.zeros(groups)
    for weight in weights:
        kind = weight.site.kind
        if kind not in (*rows, *columns) or (score != "magnitude" and kind not in (*SCORED_HEADS, *FFN)):
            continue
        sums = row_scores if kind in rows else column_scores
        if score in ("magnitude", "W+update"):
            total += sums(weight_of(model, weight.site), groups).cpu()
        adapter = None if score == "magnitude" else adapter_of(module_at(model, weight.site))
        if adapter is not None:
            total += sums(adapter.low_rank_delta().detach() + adapter.sparse_delta(), groups).cpu()
    return total


def _coefficients(model: nn.Module, weights: Sequence[LinearSpec], columns: Sequence[Kind], groups: int) -> Tensor:
    """The learned coefficients' sizes, summed over the query heads of a group."""
    total = torch.zeros(groups)
    for weight in weights:
        values = coefficients_of(module_at(model, weight.site)) if weight.site.kind in columns else None
        if values is not None:
            total += row_scores(values.detach()[:, None], groups).cpu()
    return total


def _losses(
    model: nn.Module,
    layers: Sequence[Sequence[LinearSpec]],
    columns: Sequence[Kind],
    counts: Sequence[int],
    losses: Iterable[Tensor],
) -> list[Tensor]:
    sites = [
        (weight.site, count)
        for weights, count in zip(layers, counts, strict=True)
        for weight in weights
        if weight.site.kind in columns
    ]
    found = input_losses(model, dict(sites), losses)
    return [found[site] for site, _ in sites]
