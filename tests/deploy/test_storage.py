"""Compressed matrices come back to the last bit, are as small as the formulas say, and refuse parts that do not fit."""

import pytest
import torch

from dsee_bench.deploy.storage import compress, expand, size

SHAPES = [(1, 1), (3, 5), (16, 8), (2, 40_000)]  # one byte short, not a multiple of 8, a multiple, wide columns
LAYOUTS = ["bitmask", "csr"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_round_trip(layout, shape, share):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator)
    weight[torch.rand(shape, generator=generator) < share] = 0
    assert torch.equal(expand(compress(weight, layout), shape, layout), weight)


SIZES = [
    # layout,  bytes of a 16 x 64 matrix with one entry in 4 kept
    ("bitmask", 4 * 256 + 16 * 64 // 8),
    ("csr", 4 * 256 + 2 * 256 + 4 * 17),
]


@pytest.mark.parametrize(("layout", "expected"), SIZES)
def test_sizes_by_hand(layout, expected):
    weight = torch.ones(16, 64)
    weight[:, 16:] = 0
    assert size(compress(weight, layout)) == expected


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parts_of_another_matrix(layout):
    parts = compress(torch.eye(4), layout)
    with pytest.raises(ValueError):
        expand({**parts, "values": parts["values"][:3]}, (4, 4), layout)
    with pytest.raises(ValueError):
        expand(parts, (9, 9), layout)


def test_columns_out_of_range():
    parts = compress(torch.eye(4), "csr")
    with pytest.raises(ValueError, match="do not fit into a matrix of 4 x 4"):
        expand({**parts, "columns": parts["columns"] + 4}, (4, 4), "csr")


def test_unknown_layout():
    with pytest.raises(ValueError, match="unknown layout 'coo'; the layouts are bitmask, csr"):
        compress(torch.eye(2), "coo")
