"""Scores against hand-worked numbers; counts exact, ties by position, on hand-made tables."""

import pytest
import torch

from dsee_bench.pruning.masks import (
    cubic_sparsity,
    entry_scores,
    first_order_scores,
    global_masks,
    keep_positions,
    masks_in_scope,
    wanda_scores,
)

# One weight of two entries: W = [3, -1], U V = [-1, 2], S2 = [0, -4], s = 2.
W, UV, S2, SCALE = torch.tensor([[3.0, -1.0]]), torch.tensor([[-1.0, 2.0]]), torch.tensor([[0.0, -4.0]]), 2.0

SCORES = [
    # name,          authors, by hand,        why
    ("W", False, [3.0, 1.0], "|W|"),
    ("UV", False, [2.0, 4.0], "|2·(-1)|, |2·2|"),
    ("update", False, [2.0, 4.0], "|2·(-1 + 0)|, |2·(2 - 4)|"),
    ("W+UV", False, [1.0, 3.0], "|3 - 2|, |-1 + 4|"),
    ("W+update", False, [1.0, 5.0], "|3 - 2|, |-1 + 2·(-2)|"),
    ("inverse_UV", False, [0.5, 0.25], "1/2, 1/4"),
    ("inverse_update", False, [0.5, 0.25], "1/2, 1/4"),
    ("W+update", True, [2.0, 7.0], "s on S2 alone: |3 - 1 + 0|, |-1 + 2 - 8|"),
    ("inverse_UV", True, [1.0, 0.5], "no s: 1/|-1|, 1/|2|"),
    ("update", True, [2.0, 4.0], "ABS is right in their code"),
    ("inverse_update", True, [0.5, 0.25], "NABS is right in their code"),
]


@pytest.mark.parametrize(("name", "authors", "expected", "why"), SCORES)
def test_scores_by_hand(name, authors, expected, why):
    assert entry_scores(name, W, UV, S2, SCALE, authors=authors).tolist() == [expected], why


def test_the_authors_wabs_ranks_otherwise():
    """With s forgotten on U V another entry is the smallest, so another one is pruned."""
    weight, uv = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, -0.5]])
    ours = entry_scores("W+update", weight, uv, None, 4.0)  # 1 + 8, 2 - 2
    theirs = entry_scores("W+update", weight, -uv, None, 4.0, authors=True)  # |1 - 2|, 2 + 0.5
    assert global_masks([ours], 0.5)[0].tolist() == [[True, False]]
    assert global_masks([theirs], 0.5)[0].tolist() == [[False, True]]
    assert global_masks([entry_scores("W+update", weight, -uv, None, 4.0)], 0.5)[0].tolist() == [[True, False]]


def test_random_scores_follow_their_generator():
    drawn = [entry_scores("random", W, None, None, SCALE, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], entry_scores("random", W, None, None, 1.0, generator=torch.Generator()))


def test_an_untouched_entry_is_kept_by_the_inverse():
    assert entry_scores("inverse_UV", W, torch.tensor([[0.0, 1.0]]), None, 1.0).tolist() == [[torch.inf, 1.0]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("update", "score 'update' needs U V of every weight's adapter, got None"),
        ("random", "needs a torch.Generator, got None"),
        ("size", "unknown score 'size'; there is W, UV, update"),
    ],
)
def test_scores_say_what_they_miss(name, message):
    with pytest.raises(ValueError, match=message):
        entry_scores(name, W, None, None, 1.0)


MASKS = [
    # scores of each tensor,           sparsity, kept,                            why
    ([[4.0, 1.0], [3.0, 2.0]], 0.5, [[1, 0], [1, 0]], "the two smallest of all four, over both tensors"),
    ([[9.0, 8.0], [1.0, 2.0]], 0.5, [[1, 1], [0, 0]], "global: one tensor may lose everything"),
    ([[1.0, 1.0], [1.0, 1.0]], 0.25, [[1, 1], [1, 0]], "of equals the earlier are kept, across tensors"),
    ([[0.0, 0.0], [0.0, 5.0]], 0.5, [[1, 0], [0, 1]], "a tie at the edge keeps exactly the first"),
    ([[2.0, 1.0], [4.0]], 0.0, [[1, 1], [1]], "0 % keeps all"),
    ([[2.0, 1.0, 3.0, 5.0, 4.0]], 0.5, [[0, 0, 1, 1, 1]], "2.5 goes to the even count, 2"),
    ([[torch.inf, torch.inf, 1.0]], 0.6, [[1, 0, 0]], "infinite scores tie as well; 1.8 rounds to 2"),
    ([], 0.5, [], "an empty pool has no masks"),
]


@pytest.mark.parametrize(("scores", "sparsity", "kept", "why"), MASKS)
def test_masks_by_hand(scores, sparsity, kept, why):
    masks = global_masks([torch.tensor(score) for score in scores], sparsity)
    assert [mask.int().tolist() for mask in masks] == kept, why


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.2, 1 / 3, 0.5, 0.999])
def test_counts_are_exact_and_equal_torch_prune(sparsity):
    """torch.nn.utils.prune.global_unstructured, an implementation apart, drops the same entries where none tie."""
    from torch.nn.utils import prune

    layers = [torch.nn.Linear(31, 17), torch.nn.Linear(5, 3)]
    masks = global_masks([layer.weight.abs() for layer in layers], sparsity)
    total = sum(mask.numel() for mask in masks)
    assert sum(int((~mask).sum()) for mask in masks) == round(sparsity * total)
    prune.global_unstructured([(layer, "weight") for layer in layers], prune.L1Unstructured, amount=sparsity)
    for layer, mask in zip(layers, masks, strict=True):
        assert torch.equal(layer.weight_mask.bool(), mask)


@pytest.mark.parametrize("sparsity", [1.0, 1.2, -0.1, float("nan")])
def test_impossible_sparsity(sparsity):
    with pytest.raises(ValueError, match=rf"sparsity must lie in \[0, 1\), got {sparsity}"):
        global_masks([W], sparsity)


def test_nan_scores_are_refused():
    with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
        global_masks([torch.tensor([float("nan"), 1.0])], 0.5)


def test_masks_do_not_share_memory():
    first, second = global_masks([W.abs(), W.abs()], 0.5)
    assert first.untyped_storage().data_ptr() != second.untyped_storage().data_ptr()
    assert first.untyped_storage().nbytes() == 2


POSITIONS = [
    # scores,                        count, positions, why
    ([[3.0, 1.0], [0.0, 2.0]], 2, [0, 3], "flat positions, ascending"),
    ([[1.0, 1.0], [1.0, 1.0]], 1, [0], "a tie keeps exactly one, the first"),
    ([[0.0, 2.0], [0.0, 0.0]], 2, [0, 1], "zeros tie too: exactly two, not all four"),
    ([[5.0, 6.0]], 0, [], "none asked, none given"),
    ([[5.0, 6.0]], 2, [0, 1], "model"),
]


@pytest.mark.parametrize(("scores", "count", "positions", "why"), POSITIONS)
def test_positions_by_hand(scores, count, positions, why):
    assert keep_positions(torch.tensor(scores), count).tolist() == positions, why


def test_more_positions_than_entries():
    with pytest.raises(ValueError, match=r"count must lie in \[0, 2\], the entries there are, got 3"):
        keep_positions(W, 3)


WITHIN = [
    # scores,                                  scope,    sparsity, kept,                              why
    ([[1.0, 9.0], [8.0, 2.0]], "row", 0.5, [[0, 1], [1, 0]], "each row loses its smaller half"),
    ([[1.0, 2.0], [8.0, 9.0]], "model", 0.5, [[0, 0], [1, 1]], "the same share over all may empty a row"),
    ([[1.0, 1.0, 1.0, 1.0]], "2:4", 0.5, [[1, 1, 0, 0]], "a tie keeps exactly two, the first"),
    ([[4.0, 3.0, 2.0, 1.0, 5.0, 6.0, 7.0, 8.0]], "2:4", 0.5, [[1, 1, 0, 0, 0, 0, 1, 1]], "two in each four"),
    ([[4.0, 3.0, 2.0, 1.0]], "1:4", 0.75, [[1, 0, 0, 0]], "one in four"),
    ([[-1.0, -1.0, 3.0, -1.0]], "2:4", 0.5, [[1, 0, 1, 0]], "entries masked before come last, and still two stay"),
    ([[1.0, 2.0, 3.0]], "row", 0.5, [[0, 0, 1]], "1.5 goes to the even count"),
]


@pytest.mark.parametrize(("scores", "scope", "sparsity", "kept", "why"), WITHIN)
def test_masks_in_scope_by_hand(scores, scope, sparsity, kept, why):
    assert masks_in_scope([torch.tensor(scores)], sparsity, scope)[0].int().tolist() == kept, why


def test_within_a_weight_no_other_weight_counts():
    first, second = masks_in_scope([torch.tensor([[1.0, 2.0]]), torch.tensor([[8.0, 9.0]])], 0.5, "weight")
    assert (first.tolist(), second.tolist()) == ([[False, True]], [[False, True]])


@pytest.mark.parametrize(("scope", "kept", "group"), [("1:4", 1, 4), ("2:4", 2, 4), ("4:8", 4, 8)])
def test_n_of_m_is_exact_in_every_group(scope, kept, group):
    mask = masks_in_scope([torch.rand(7, 40, generator=torch.Generator().manual_seed(0))], 0.5, scope)[0]
    assert (mask.view(-1, group).sum(1) == kept).all()


def test_n_of_m_needs_whole_groups():
    with pytest.raises(ValueError, match="2:4 needs a number of inputs that 4 divides, got 6"):
        masks_in_scope([torch.rand(2, 6)], 0.5, "2:4")


def test_wanda_by_hand():
    """The smaller weight wins where its input is larger: |-1| x 3 against |2| x 1."""
    scores = wanda_scores(torch.tensor([[2.0, -1.0]]), torch.tensor([1.0, 3.0]))
    assert scores.tolist() == [[2.0, 3.0]]


def test_first_order_is_what_dropping_an_entry_changes():
    """For a loss that is linear in W the first order is exact: loss(w) - loss(w without entry i)."""
    weight, slope = torch.tensor([[2.0, -3.0]], requires_grad=True), torch.tensor([[0.5, 4.0]])
    (weight * slope).sum().backward()
    scores = first_order_scores(weight.detach(), weight.grad)
    for i in range(2):
        without = weight.detach().clone()
        without[0, i] = 0
        changed = (weight.detach() * slope).sum() - (without * slope).sum()
        assert scores[0, i] == changed.abs()


CUBIC = [
    # step, sparsity by hand of 0 -> 0.8 in 10 steps
    (0, 0.0),
    (5, 0.8 - 0.8 * 0.125),
    (10, 0.8),
    (25, 0.8),
]


@pytest.mark.parametrize(("step", "expected"), CUBIC)
def test_cubic_schedule_by_hand(step, expected):
    assert cubic_sparsity(step, 10, initial=0.0, final=0.8) == pytest.approx(expected, abs=1e-12)
