"""How much each attention head or feed-forward neuron of a layer matters, by each score of structured pruning."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from dsee_bench.models.spec import Kind, LinearSpec
from dsee_bench.pruning import surgery
from dsee_bench.pruning.removal import whole_weight
from dsee_bench.stages.attach import ADAPTER
from dsee_bench.stages.stage import RunState

if TYPE_CHECKING:
    import torch
    from torch import Tensor

GroupScore = Literal["update", "W+update", "magnitude", "coefficient", "gradient", "random"]
SCORED_HEADS: tuple[Kind, ...] = ("query", "value")  # where an update's size says how much a head matters
FFN: tuple[Kind, ...] = (*surgery.FFN_ROWS, *surgery.FFN_COLUMNS)


def group_scores(
    state: RunState,
    score: GroupScore,
    rows: Sequence[Kind],  # sites whose rows go with a group
    columns: Sequence[Kind],  # sites whose columns do
    counts: Sequence[int],  # groups of each layer
    *,
    batches: int | None,  # of the training set, for `gradient`
    generator: "torch.Generator",  # for `random`
) -> "list[Tensor]":  # (groups,) for each layer
    """Larger is kept. Heads and neurons differ only in `rows` and `columns`."""
    import torch

    if score == "random":
        return [torch.rand(count, generator=generator) for count in counts]
    layers = [[w for w in state.spec.weights if w.site.layer == layer] for layer in range(len(counts))]
    if score == "gradient":
        return _losses(state, layers, columns, counts, batches)
    if score == "coefficient":
        return [_coefficients(state, weights, columns, count) for weights, count in zip(layers, counts, strict=True)]
    return [_sums(state, weights, score, rows, columns, count) for weights, count in zip(layers, counts, strict=True)]


def _sums(
    state: RunState,
    weights: Sequence[LinearSpec],  # of one layer
    score: GroupScore,
    rows: Sequence[Kind],
    columns: Sequence[Kind],
    groups: int,
) -> "Tensor":
    """Sums of |W|, of |U V + S2| or of both over all that goes with a group; an update counts where it is scored."""
    import torch

    from dsee_bench.models.access import module_at
    from dsee_bench.pruning.groups import column_scores, row_scores

    total = torch.zeros(groups)
    for weight in weights:
        kind = weight.site.kind
        if kind not in (*rows, *columns) or (score != "magnitude" and kind not in (*SCORED_HEADS, *FFN)):
            continue
        sums = row_scores if kind in rows else column_scores
        if score in ("magnitude", "W+update"):
            total += sums(whole_weight(state, weight.site), groups).cpu()
        delta = None if score == "magnitude" else _update(module_at(state.model, weight.site))
        if delta is not None:
            total += sums(delta, groups).cpu()
    return total


def _coefficients(state: RunState, weights: Sequence[LinearSpec], columns: Sequence[Kind], groups: int) -> "Tensor":
    """The learned coefficients' sizes, summed over the query heads of a group."""
    import torch

    from dsee_bench.adapters.coefficient import coefficients_of
    from dsee_bench.models.access import module_at
    from dsee_bench.pruning.groups import row_scores

    total = torch.zeros(groups)
    for weight in weights:
        values = coefficients_of(module_at(state.model, weight.site)) if weight.site.kind in columns else None
        if values is not None:
            total += row_scores(values.detach()[:, None], groups).cpu()
    return total


def _losses(
    state: RunState,
    layers: Sequence[Sequence[LinearSpec]],
    columns: Sequence[Kind],
    counts: Sequence[int],
    batches: int | None,
) -> "list[Tensor]":
    from dsee_bench.pruning.calibration import input_losses

    assert batches is not None  # checked when the stage was made
    sites = [
        (weight.site, count)
        for weights, count in zip(layers, counts, strict=True)
        for weight in weights
        if weight.site.kind in columns
    ]
    found = input_losses(state, dict(sites), batches)
    return [found[site] for site, _ in sites]


def _update(module: Any) -> "Tensor | None":
    """U V + S2 (O, I) without s, of a DSEE or a LoRA layer; None where there is no update."""
    if hasattr(module, "low_rank_delta"):
        return module.low_rank_delta(ADAPTER).detach() + module.sparse_delta(ADAPTER)
    if hasattr(module, "lora_A"):
        return module.lora_B[ADAPTER].weight.detach() @ module.lora_A[ADAPTER].weight.detach()
    return None
