"""The sparse forward and backward against the dense matrix they stand for."""

import pytest
import torch

from dsee_bench.adapters.dsee.entries import AddEntries


def dense(values, positions, outputs, inputs):
    s2 = torch.zeros(outputs, inputs, dtype=values.dtype)
    s2[positions[0], positions[1]] = values
    return s2


# Two entries share row 1 and two share column 3, so a scatter must add rather than overwrite.
POSITIONS = torch.tensor([[0, 1, 1, 3], [3, 0, 2, 3]], dtype=torch.int32)


def test_by_hand():
    """x = [1, 10, 100, 1000]: row 0 gets 2·1000, row 1 gets 3·1 + 4·100, row 3 gets 5·1000."""
    x, values = torch.tensor([[1.0, 10.0, 100.0, 1000.0]]), torch.tensor([2.0, 3.0, 4.0, 5.0])
    result = AddEntries.apply(torch.zeros(1, 4), x, values, POSITIONS)
    assert result.tolist() == [[2000.0, 403.0, 0.0, 5000.0]]


@pytest.mark.parametrize("shape", [(4,), (7, 4), (2, 5, 4), (0, 4)], ids=str)
def test_equals_the_dense_product(shape):
    generator = torch.Generator().manual_seed(0)
    exact = {"generator": generator, "dtype": torch.float64}  # the two add in another order
    x = torch.randn(shape, **exact, requires_grad=True)
    values = torch.randn(4, **exact, requires_grad=True)
    start = torch.randn(*shape[:-1], 6, **exact)
    ours = AddEntries.apply(start.clone(), x, values, POSITIONS)
    theirs = start + x @ dense(values, POSITIONS, 6, 4).T
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn(ours.shape, **exact)
    for got, expected in zip(
        torch.autograd.grad((ours * weights).sum(), [x, values]),
        torch.autograd.grad((theirs * weights).sum(), [x, values]),
        strict=True,
    ):
        torch.testing.assert_close(got, expected)


def test_gradients_in_double_precision():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    values = torch.randn(4, dtype=torch.float64, generator=generator, requires_grad=True)
    start = torch.randn(2, 3, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, x, v: AddEntries.apply(s.clone(), x, v, POSITIONS), (start, x, values))


def test_an_input_without_gradient_gets_none():
    """The first layer's input comes from frozen embeddings; only the values need a gradient there."""
    values = torch.ones(4, requires_grad=True)
    AddEntries.apply(torch.zeros(2, 4), torch.ones(2, 4), values, POSITIONS).sum().backward()
    assert values.grad.tolist() == [2.0, 2.0, 2.0, 2.0]  # each entry sees both tokens


def test_nothing_dense_is_made():
    """Forward and backward of K = 4 in a 3000 x 2000 weight: no tensor near its 6,000,000 entries."""
    from torch.utils._python_dispatch import TorchDispatchMode

    largest = 0

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.untyped_storage().nbytes() // out.element_size())
            return out

    x, values = torch.ones(2, 2000, requires_grad=True), torch.ones(4, requires_grad=True)
    with Sizes():
        AddEntries.apply(torch.zeros(2, 3000), x, values, POSITIONS).sum().backward()
    assert 0 < largest <= 2 * 3000
