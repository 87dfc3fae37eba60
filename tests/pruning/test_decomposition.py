"""Where the K entries sit: exact counts on awkward weights, planted entries found, the authors' failure shown."""

import pytest
import torch

from dsee_bench.pruning.decomposition import AUTHORS, Smoothing, decomposition_positions, place, smoothing, sparse_part


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def decaying(rows, columns, rate):
    """A weight whose singular values fall off as exp(-rate i), of the size of a BERT weight (0.04 an entry)."""
    u, _, v = torch.linalg.svd(torch.randn(rows, columns, generator=seeded()), full_matrices=False)
    weight = u @ torch.diag(torch.exp(-rate * torch.arange(min(rows, columns)))) @ v
    return weight * 0.04 / weight.std()


HAND = torch.tensor([[1.0, -5.0, 0.0], [2.0, -2.0, 3.0]])

PLACES = [
    # how,        K, positions,          why
    ("magnitude", 2, [1, 5], "|-5| and 3"),
    ("magnitude", 3, [1, 3, 5], "|2| ties with |-2|: the earlier one"),
    ("gradient", 2, [0, 2], "the largest |dL/dW|, whatever W is"),
    ("none", 5, [], "none at all: plain LoRA"),
    ("magnitude", 0, [], "none asked"),
]


@pytest.mark.parametrize(("how", "count", "positions", "why"), PLACES)
def test_places_by_hand(how, count, positions, why):
    gradient = torch.tensor([[-9.0, 0.0, 8.0], [0.0, 1.0, 0.0]])
    found = place(HAND, count, how, rank=1, generator=seeded(), gradient=gradient, name="w")
    assert found.tolist() == positions, why
    assert found.dtype == torch.int64


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("rank", [1, 4, 16])
def test_the_decomposition_finds_planted_entries(scale, rank):
    """Low rank plus 20 large entries plus a little noise: exactly those come out, at any scale of the weight."""
    g = seeded(rank)
    planted = torch.randperm(64 * 48, generator=g)[:20].sort().values
    weight = torch.randn(64, rank, generator=g) @ torch.randn(rank, 48, generator=g)
    weight += 0.01 * torch.randn(64, 48, generator=g)
    weight.view(-1)[planted] += 4 * weight.std()
    found = place(weight * scale, 20, "decomposition", rank=rank, generator=seeded(), name="w")
    assert torch.equal(found, planted)
    by_size = place(weight * scale, 20, "magnitude", rank=rank, generator=seeded(), name="w")
    assert not torch.equal(by_size, planted)


def test_the_low_rank_part_keeps_its_rank():
    weight = torch.randn(24, 20, generator=seeded())
    rest = weight - sparse_part(weight, 10, smoothing(4), generator=seeded())
    left_over = torch.linalg.svdvals(rest)[4:].norm()  # what no part of rank 4 can reach
    assert left_over < torch.linalg.svdvals(weight)[4:].norm()


@pytest.mark.parametrize("how", ["decomposition", "magnitude", "random"])
@pytest.mark.parametrize("shape", [(40, 40), (12, 60), (60, 12)])
@pytest.mark.parametrize("count", [1, 16, 100])
def test_exactly_k_distinct_positions_and_the_same_again(how, shape, count):
    weight = torch.randn(shape, generator=seeded(1))
    found, again = (place(weight, count, how, rank=4, generator=seeded(), name="w") for _ in range(2))
    assert len(found.unique()) == count == len(found)
    assert torch.equal(found, found.sort().values)
    assert torch.equal(found, again)


@pytest.mark.parametrize(
    ("rows", "rate"),
    [
        pytest.param(128, 0.001, id="fewer rows than 496"),
        pytest.param(520, 0.03, id="fast decay", marks=pytest.mark.slow),
    ],
)
def test_the_authors_rule_keeps_every_entry_where_ours_raises(rows, rate):
    """Their S is all zero, so the k-th largest |S| is 0 and `|S| >= 0` keeps everything (science, section 2 a)."""
    weight = decaying(rows, rows, rate)
    sparse = sparse_part(weight, 64, AUTHORS, generator=seeded())
    kth_largest = sparse.abs().flatten().kthvalue(sparse.numel() - 64 + 1).values
    assert int((sparse.abs() >= kth_largest).sum()) == rows * rows

    message = (
        r"only 0 entries of layer.3.query \(\d+, \d+\) stand out from its rank 496 part by more than threshold 0.01"
    )
    with pytest.raises(ValueError, match=message):
        place(weight, 64, "authors", rank=16, generator=seeded(), name="layer.3.query")
    assert len(place(weight, 64, "decomposition", rank=16, generator=seeded(), name="layer.3.query")) == 64


def test_an_absolute_threshold_gives_k_where_it_leaves_enough():
    weight = 0.04 * torch.randn(64, 64, generator=seeded())
    constants = Smoothing(ranks=(1, 6), passes=2, threshold=0.01, tolerance=0.0)
    positions = decomposition_positions(weight, 16, constants, generator=seeded(), name="w")
    sparse = sparse_part(weight, 16, constants, generator=seeded())
    assert int(sparse.count_nonzero()) > 1000  # most residuals are above a quarter of the spread
    assert sparse.abs()[sparse != 0].min() >= 0.01
    assert torch.equal(positions, sparse.abs().flatten().topk(16).indices.sort().values)


@pytest.mark.parametrize("rank", [3, 8])
def test_a_weight_of_low_rank_leaves_nothing_to_choose(rank):
    """Rounding errors are not content: at its own rank or above, a low rank weight has no residual."""
    weight = torch.randn(32, 3, generator=seeded()) @ torch.randn(3, 32, generator=seeded(1))
    with pytest.raises(ValueError, match=rf"only \d entries of w .* rank {rank} part by more than rounding, 16 are"):
        place(weight, 16, "decomposition", rank=rank, generator=seeded(), name="w")


def with_entry(value):
    weight = torch.randn(8, 8, generator=seeded())
    weight[1, 2] = value
    return weight


LOW = torch.randn(8, 2, generator=seeded()) @ torch.randn(2, 8, generator=seeded(1))
SPECIAL = [
    # weight,                   how,             what is said
    (torch.zeros(8, 8), "decomposition", "only 0 entries of layer.3.query .* is constant: every entry is 0"),
    (torch.full((8, 8), 0.5), "decomposition", "layer.3.query .* is constant: every entry is 0.5"),
    (torch.full((8, 8), 0.5), "authors", "layer.3.query .* is constant: every entry is 0.5"),
    (LOW, "decomposition", r"layer.3.query .* is exactly of rank 2\); lower the rank or num_entries"),
    (LOW, "authors", "layer.3.query .* is exactly of rank 2"),
    *(
        (with_entry(value), how, f"layer.3.query has 1 {said} of 64 entries")
        for how in ("decomposition", "authors", "magnitude")
        for value, said in ((float("nan"), "NaN"), (float("inf"), "infinite"), (-float("inf"), "infinite"))
    ),
]


@pytest.mark.parametrize(("weight", "how", "message"), SPECIAL)
def test_a_weight_without_a_sparse_part_says_why(weight, how, message):
    with pytest.raises(ValueError, match=message):
        place(weight, 4, how, rank=4, generator=seeded(), name="layer.3.query")


def test_a_gradient_that_is_not_finite():
    gradient = with_entry(float("nan"))
    with pytest.raises(ValueError, match="dL/dW of w has 1 NaN of 64 entries"):
        place(LOW, 4, "gradient", rank=4, generator=seeded(), gradient=gradient, name="w")


@pytest.mark.parametrize(
    ("how", "count", "message"),
    [
        ("magnitude", 7, r"w has 6 entries, cannot train 7 of them; lower num_entries"),
        ("magnitude", -1, r"w has 6 entries, cannot train -1 of them"),
        ("gradient", 1, r"placement 'gradient' needs dL/dW of w, got None"),
        ("size", 1, r"unknown placement 'size'; there is decomposition, authors"),
    ],
)
def test_impossible_places(how, count, message):
    with pytest.raises(ValueError, match=message):
        place(HAND, count, how, rank=1, generator=seeded(), name="w")


@pytest.mark.parametrize(("rank", "ranks"), [(1, (1,)), (3, (1, 2, 3)), (4, (1, 2, 3, 4)), (16, (4, 8, 12, 16))])
def test_our_rank_grows_in_four_even_steps(rank, ranks):
    assert smoothing(rank).ranks == ranks


def test_the_authors_ranks():
    """Science, section 2: 100 rounds, 5 rows appended a round, ranks 1, 6, ..., 496."""
    assert (len(AUTHORS.ranks), AUTHORS.ranks[:2], AUTHORS.ranks[-1]) == (100, (1, 6), 496)
