"""Every stage on a device that is not the CPU: simulated, so that a tensor left behind fails here as on a GPU."""

import pytest
import torch
from simulated_device import OnDevice, plain, simulated_device

from dsee_bench.config import options
from dsee_bench.deploy.measure import costs
from dsee_bench.runs import pipeline
from dsee_bench.stages.tune import Tune, choose_trainable
from dsee_bench.training.decode import decode

RUN = ["train.max_rows=16", "train.batch_size=8", "device=cpu", "train.precision=fp32"]
TASKS = {"tiny-bert": "toy_sentences", "tiny-deberta-v2": "toy_pairs", "tiny-gpt2": "toy_d2t", "tiny-llama": "toy_d2t"}


def take_a_step(state):
    """Two batches forward and back, and a step of SGD: what a tuning does with the stages' modules."""
    trained = [value for value in state.model.parameters() if value.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1, foreach=False)
    for loss in state.losses(2):
        (loss + sum(penalty() for penalty in state.penalties)).backward()
    optimizer.step()


def walk(settings, folder, device):
    """The state after all stages, each tuning a single step; the model lies on `device`."""
    state, _ = pipeline.prepare(settings, folder)
    state.model.to(device)
    state.model.tie_weights()
    fresh = state.fresh
    state.fresh = lambda: fresh().to(device)
    torch.manual_seed(0)
    for name, stage in settings.stages.items():
        if not isinstance(stage, Tune):
            pipeline.run_stage(settings, state, name, folder)
            continue
        state.stage, state.seed, state.spec = name, 7, stage.plan(state.spec)
        choose_trainable(state, stage.parameters)
        take_a_step(state)
    return state


def numbers(state):
    held = {name: plain(value.detach()) for name, value in state.model.state_dict().items()}
    masks = {f"mask of {site.path}": plain(mask) for site, mask in state.masks.items()}
    return held | masks


NO_STAGES = ("majority", "untuned", "dsee_authors")  # the authors' rank is for weights of 768 x 768
QUICK = [("dsee", "tiny-gpt2"), ("dsee_structured", "tiny-bert")]
ALL = [(method, name) for method in options("method") if method not in NO_STAGES for name in TASKS]
CASES = [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow, id="-".join(case)) for case in ALL]


@pytest.mark.parametrize(("method", "backbone"), CASES)
def test_all_stages_give_the_same_numbers_on_a_device(compose_run, tmp_path, method, backbone):
    settings = compose_run(f"method={method}", f"backbone={backbone}", f"task={TASKS[backbone]}")
    expected = numbers(walk(settings, tmp_path, torch.device("cpu")))
    with simulated_device() as device:
        state = walk(settings, tmp_path, device)
        assert all(isinstance(value.data, OnDevice) for value in state.model.parameters()), "all of it is there"
        found = numbers(state)
        counted = costs(
            state.model, state.adapters, state.spec, settings.backbone.spec(settings.labels), state.masks, 8
        )
    assert found.keys() == expected.keys()
    for name, value in found.items():
        close = {"rtol": 1e-4, "atol": 1e-6} if value.is_floating_point() else {"rtol": 0, "atol": 0}
        torch.testing.assert_close(value, expected[name], **close, msg=lambda text, name=name: f"{name}: {text}")
    assert len(counted) > 5


def test_texts_are_the_same_on_a_device(compose_run, tmp_path):
    settings = compose_run("method=lora", "backbone=tiny-gpt2", "task=toy_d2t")
    state, _ = pipeline.prepare(settings, tmp_path)
    contexts = [example.context for example in state.data["dev"].examples[:6]]

    def texts(name):
        return decode(state.model, state.setup.tokenizer, contexts, settings.task.decode, tmp_path / name)

    expected = texts("here.jsonl")
    with simulated_device() as device:
        state.model.to(device)
        state.model.tie_weights()
        assert texts("there.jsonl") == expected
    assert any(expected)
