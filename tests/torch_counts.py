"""A spec against the real model: parameters by torch, FLOPs by torch's own counter."""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from dsee_bench.models import cost


def check_against(spec, make, counted_part):
    """Parameters on the meta device, weight by weight, and FLOPs by torch's counter without real weights."""
    with torch.device("meta"):
        model = make()
    assert spec.total == sum(parameter.numel() for parameter in model.parameters())
    modules = dict(model.named_modules())
    for weight in spec.weights:
        stored = modules[weight.site.path].weight
        assert tuple(stored.T.shape if weight.site.transposed else stored.shape) == (weight.outputs, weight.inputs)
        bias = model.get_parameter(weight.site.bias) if weight.site.bias else modules[weight.site.path].bias
        assert weight.bias == (0 if bias is None else bias.numel())
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        model = make()
        for path in spec.head_modules:  # the formula leaves the head out, wherever it lies
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, None)
        model = counted_part(model).requires_grad_(False)
        with FlopCounterMode(display=False) as counter:
            model(torch.ones(1, 128, dtype=torch.long))
    assert counter.get_total_flops() == cost.forward_flops(spec, 128)
