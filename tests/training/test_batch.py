"""Batches of like length: every row once an epoch, in an order that the seed and the epoch decide."""

import pytest
import torch

from dsee_bench.tasks.arrow import mapped
from dsee_bench.training.batch import GroupedByLength, Rows, SortedByLength

LENGTHS = [3 + (17 * row) % 40 for row in range(205)]
ROWS = Rows(mapped([{"input_ids": [[row] * length for row, length in enumerate(LENGTHS)]}]))
BATCH = 8


def order(epoch, seed=0):
    grouped = GroupedByLength(ROWS, BATCH, seed)
    grouped.set_epoch(epoch)
    return [grouped[at]["input_ids"][0] for at in range(len(grouped))]


def padding(rows):
    batches = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
    room = sum(len(batch) * max(LENGTHS[row] for row in batch) for batch in batches)
    return 1 - sum(LENGTHS) / room


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_every_row_stands_once_in_an_epoch(epoch):
    assert sorted(order(epoch)) == list(range(len(ROWS)))


def test_the_order_is_new_each_epoch_and_the_same_when_asked_again():
    assert order(0) != order(1)
    assert order(1) == order(1)
    assert order(0, seed=0) != order(0, seed=1)


def test_grouping_saves_padding():
    shuffled = torch.randperm(len(ROWS), generator=torch.Generator().manual_seed(0)).tolist()
    assert padding(order(0)) < 0.12 < 0.3 < padding(shuffled)


def test_batches_are_not_sorted_among_themselves():
    """Else a run would see all long rows first."""
    firsts = [LENGTHS[row] for row in order(0)[::BATCH]]
    assert firsts != sorted(firsts, reverse=True)


def test_answers_come_back_in_the_rows_own_order():
    data = SortedByLength(ROWS)
    lengths = [len(data[at]["input_ids"]) for at in range(len(data))]
    assert lengths == sorted(LENGTHS, reverse=True)
    assert data.restore([data[at]["input_ids"][0] for at in range(len(data))]) == list(range(len(ROWS)))


def test_a_lost_answer_is_an_error():
    with pytest.raises(ValueError, match="shorter"):
        SortedByLength(ROWS).restore([0] * (len(ROWS) - 1))
