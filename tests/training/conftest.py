import pytest
import torch


@pytest.fixture
def float64():
    """New tensors are float64 while a test runs: what differs is then the way of computing, not the rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
