"""Scores of heads and neurons by hand, and which are kept: exact counts, ties, and one left in every layer."""

import pytest
import torch

from dsee_bench.pruning.groups import column_scores, keep_in_each, keep_overall, members, row_scores

MATRIX = torch.tensor([[1.0, -2.0], [0.0, 3.0], [-4.0, 0.0], [0.5, 0.5]])


def test_scores_are_sums_of_absolute_entries():
    assert row_scores(MATRIX, 2).tolist() == [6.0, 5.0], "1 + 2 + 0 + 3 and 4 + 0 + 0.5 + 0.5"
    assert row_scores(MATRIX, 4).tolist() == [3.0, 3.0, 4.0, 1.0]
    assert column_scores(MATRIX, 2).tolist() == [5.5, 5.5]


def test_rows_that_do_not_divide():
    with pytest.raises(ValueError, match="4 rows do not divide into 3 groups"):
        row_scores(MATRIX, 3)


IN_EACH = [
    # scores of two layers,               removed, kept,                   why
    ([[3.0, 1.0, 2.0], [9.0, 8.0, 7.0]], [1, 1], [[0, 2], [0, 1]], "each layer loses its own smallest"),
    ([[1.0, 1.0, 1.0], [1.0, 2.0]], [2, 0], [[0], [0, 1]], "a tie keeps the first; layers may differ in size"),
    ([[-1.0, -2.0], [0.0, 0.0]], [1, 1], [[0], [0]], "scores may be negative"),
]


@pytest.mark.parametrize(("scores", "removed", "kept", "why"), IN_EACH)
def test_keep_in_each(scores, removed, kept, why):
    found = keep_in_each([torch.tensor(score) for score in scores], removed)
    assert [group.tolist() for group in found] == kept, why


OVERALL = [
    # scores of two layers,               removed, kept,                  why
    ([[3.0, 1.0, 2.0], [9.0, 8.0, 7.0]], 2, [[0], [0, 1, 2]], "the two smallest of all are in the first layer"),
    ([[3.0, 1.0, 2.0], [9.0, 8.0, 7.0]], 3, [[0], [0, 1]], "the third would be the layer's last: it stays"),
    ([[1.0, 1.0], [1.0, 1.0]], 1, [[0, 1], [0]], "of equals the last goes; each layer's first is its largest"),
    ([[1.0, 2.0], [3.0, 4.0]], 0, [[0, 1], [0, 1]], "none goes"),
]


@pytest.mark.parametrize(("scores", "removed", "kept", "why"), OVERALL)
def test_keep_overall(scores, removed, kept, why):
    found = keep_overall([torch.tensor(score) for score in scores], removed)
    assert [group.tolist() for group in found] == kept, why


def test_one_of_each_layer_must_stay():
    with pytest.raises(ValueError, match="layer 0 has 2 groups, of which 2 cannot go"):
        keep_in_each([torch.ones(2)], [2])
    with pytest.raises(ValueError, match="of 4 groups in 2 layers 3 cannot go"):
        keep_overall([torch.ones(2), torch.ones(2)], 3)


def test_not_a_number():
    with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
        keep_overall([torch.tensor([1.0, float("nan")])], 1)


def test_members():
    assert members(torch.tensor([0, 2]), 3).tolist() == [0, 1, 2, 6, 7, 8]
