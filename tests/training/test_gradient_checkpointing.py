"""Gradient checkpointing changes no number, keeps less, and is off after the tuning."""

import dataclasses

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from dsee_bench import config
from dsee_bench.models.checkpointing import make_checkpointable
from dsee_bench.runs import pipeline

RUN = ["task=toy_pairs", "train.dev_rows=32", "train.max_rows=64", "train.epochs=1", "train.retune_epochs=1",
       "train.lr_adapter=1e-2", "device=cpu"]  # fmt: skip
TINY = [name for name in config.options("backbone") if name.startswith("tiny-")]
CASES = [
    # method, backbone, further settings, why
    ("full", "tiny-bert", (), "every weight, with dropout"),
    ("dsee", "tiny-gpt2", (), "frozen embeddings, so the first layer's input needs no gradient"),
    ("dsee_gradual", "tiny-bert", (), "masks that grow while it tunes"),
    ("gmp", "tiny-bert", (), "masks held in weights that train"),
    ("earlybert", "tiny-bert", (), "coefficients before modules, and heads and neurons removed"),
    ("peft/adalora", "tiny-bert", (), "a penalty and hooks after each step"),
    ("dsee_structured", "tiny-mpnet", (), "a class of layers that transformers does not checkpoint"),
    ("lora", "tiny-bert", ("backbone.dtype=bfloat16",), "weights in 16 bits"),
    ("lora", "tiny-bert", ("train.precision=bf16",), "autocast"),
    ("lora", "tiny-gpt2", ("task=toy_d2t", "train.batch_size=8"), "a language model, whose cache would be in the way"),
]


@pytest.mark.parametrize(("method", "backbone", "more", "why"), CASES)
def test_a_run_ends_with_the_same_weights(method, backbone, more, why, compose_run, tmp_path):
    ends = []
    for index, words in enumerate(([], ["train.gradient_checkpointing=true"])):
        settings = compose_run(f"method={method}", f"backbone={backbone}", *more, *words)
        state, inputs = pipeline.prepare(settings, tmp_path)
        logs = pipeline.run_stages(settings, state, tmp_path / str(index), inputs)
        assert not state.model.is_activation_checkpointing
        ends.append((state.model, [(log.facts.get("curve"), log.facts.get("dev")) for log in logs]))
    (plain, expected), (model, curves) = ends
    assert curves == expected, why
    for (name, value), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(value, other), name


def kept(model, inputs):
    """Bytes that a forward pass keeps for the backward, weights not counted."""
    weights = {value.untyped_storage().data_ptr() for value in model.parameters()}
    sizes = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(**inputs).loss
    loss.backward()
    return sum(sizes.values())


@pytest.mark.parametrize("name", TINY)
def test_every_family_keeps_less(name, compose_run):
    settings = compose_run(f"backbone={name}").backbone
    settings = dataclasses.replace(settings, layers=6)
    torch.manual_seed(0)
    model = settings.load(2, False).model.train()
    inputs = {"input_ids": torch.randint(5, 100, (4, 32)), "attention_mask": torch.ones(4, 32, dtype=torch.long),
              "labels": torch.tensor([0, 1, 0, 1])}  # fmt: skip
    torch.manual_seed(1)
    plain = kept(model, inputs)
    expected = [value.grad.clone() for value in model.parameters() if value.grad is not None]
    model.zero_grad()
    make_checkpointable(model)
    model.activation_checkpointing_enable({"use_reentrant": False})
    torch.manual_seed(1)
    assert kept(model, inputs) < 0.5 * plain
    found = [value.grad for value in model.parameters() if value.grad is not None]
    assert len(expected) > 0
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
