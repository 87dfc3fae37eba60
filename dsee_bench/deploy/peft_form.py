"""An adapter in the form that plain PEFT reads: `PeftModel.from_pretrained(base, DIR)` gives the run's own outputs.

`base` is the checkpoint that the run began with. So the adapter carries every module in which the run's model differs
from it: the task head, and what was pruned or tuned (`modules_to_save`). Modules under an adapter count, too: their
names end in `.base_layer`, as in PEFT's model.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from dsee_bench.adapters.adalora import every_rank
from dsee_bench.adapters.protocol import ADAPTER
from dsee_bench.adapters.whole import on_whole_weights
from dsee_bench.config.launch import Storage
from dsee_bench.models.access import head_parameters
from dsee_bench.models.fused import join
from dsee_bench.models.spec import ModelSpec
from dsee_bench.monitoring import console

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # PEFT's names
OWN_CONFIG, OWN_WEIGHTS = "adapter.json", "adapter.safetensors"  # of an adapter that PEFT alone would load wrongly


@dataclass(frozen=True)
class Base:
    """The checkpoint that a model began with."""

    name: str
    hub: str | None = None  # "owner/name" where the same weights are on the hub
    revision: str | None = None
    fresh: Callable[[], PreTrainedModel] | None = None  # loads it again; None: an adapter needs no form of PEFT's


@dataclass(frozen=True)
class AdapterForm:
    """What the two files of an adapter hold."""

    config: Any  # PeftConfig
    tensors: dict[str, Tensor]
    by_peft: bool  # plain PEFT loads it rightly

    def write(self, folder: Path) -> None:
        """Write the files."""
        config, weights = (CONFIG, WEIGHTS) if self.by_peft else (OWN_CONFIG, OWN_WEIGHTS)
        with every_rank(self.config):
            self.config.save_pretrained(folder)
        (folder / CONFIG).rename(folder / config)
        save_file(self.tensors, folder / weights, metadata={"format": "pt"})


def adapter_form(
    adapters: Any,  # PEFT's BaseTuner
    model: PreTrainedModel,  # without the adapter
    spec: ModelSpec,
    base: Base,
    *,
    storage: Storage,
    narrowed: bool,
) -> AdapterForm:
    """Return the adapter in PEFT's form where it has one, else in our own, and log why."""
    state = _state(adapters)
    own = AdapterForm(adapters.peft_config[ADAPTER], state, by_peft=False)
    if base.fresh is None:
        return own
    try:
        if narrowed:
            raise ValueError("heads or neurons are removed")
        if storage != "dense":
            raise ValueError(f"the weights are stored as {storage}")
        return _peft_form(adapters, state, model, spec, base)
    except ValueError as error:
        console.info(f"  the adapter is for dsee_bench.load alone, not for plain PEFT: {error}")
        return own


def _state(adapters: Any) -> dict[str, Tensor]:
    """The tensors of the adapter, named as in PEFT's file."""
    from peft import get_peft_model_state_dict

    with every_rank(adapters.peft_config[ADAPTER]):
        state = get_peft_model_state_dict(adapters)
    return {f"base_model.{name}": tensor.contiguous().clone() for name, tensor in state.items()}  # none share memory


def _peft_form(
    adapters: Any, state: dict[str, Tensor], model: PreTrainedModel, spec: ModelSpec, base: Base
) -> AdapterForm:
    assert base.fresh is not None
    model, fresh = copy.deepcopy(model), base.fresh()
    for whole in (model, fresh):
        join(whole)
    config, tensors = on_whole_weights(adapters, state)
    modules = sorted({*head_modules(model, spec), *changed_modules(model, fresh, spec)})
    adapted = set(config.target_modules)
    saved = {module: f"{module}.base_layer" if module in adapted else module for module in modules}
    config.modules_to_save = [*saved.values()] or None
    config.task_type = task_type(model)
    config.inference_mode = True
    config.base_model_name_or_path = base.hub or f"the folder base/ beside this file; {base.name} is not on the hub"
    config.revision = base.revision if base.hub else None
    for name, value in model.state_dict().items():
        owner = next((module for module in modules if name.startswith(f"{module}.")), None)
        if owner is not None:
            tensors[f"base_model.model.{saved[owner]}{name.removeprefix(owner)}"] = value.cpu().contiguous().clone()
    return AdapterForm(config, tensors, by_peft=True)


def head_modules(model: PreTrainedModel, spec: ModelSpec) -> list[str]:
    """Return the modules of the task head: outside the pretrained part, or named by the spec."""
    inside = tuple(f"{path}." for path in spec.head_modules)
    outside = {name.partition(".")[0] for name in head_parameters(model, spec) if not name.startswith(inside)}
    return [*sorted(outside), *spec.head_modules]


def changed_modules(model: PreTrainedModel, fresh: PreTrainedModel, spec: ModelSpec) -> list[str]:
    """Return the modules, outside the head, that hold a tensor which is not the checkpoint's; ValueError for one that
    no adapter can carry."""
    now, before = model.state_dict(), fresh.state_dict()
    head = tuple(f"{name}." for name in head_modules(model, spec))
    names = [name for name in now.keys() | before.keys() if not name.startswith(head)]
    changed = [name for name in names if not _same(now, before, name)]
    tied = set(model.all_tied_weights_keys) | set(model.all_tied_weights_keys.values())
    modules = sorted({name.rpartition(".")[0] for name in changed})
    for module in modules:
        if module not in dict(model.named_modules()) or any(True for _ in model.get_submodule(module).children()):
            raise ValueError(f"{module or 'the model'} has changed weights beside other modules")
    if shared := sorted(tied & set(changed)):
        raise ValueError(f"{shared[0]} has changed and is used twice")
    return modules


def _same(now: Mapping[str, Tensor], before: Mapping[str, Tensor], name: str) -> bool:
    return name in now and name in before and torch.equal(now[name].cpu(), before[name].cpu())


def task_type(model: PreTrainedModel) -> str | None:
    """Return PEFT's name of what the model's head is for; None where PEFT has none."""
    head = type(model).__name__
    if head.endswith("ForSequenceClassification"):
        return "SEQ_CLS"
    return "CAUSAL_LM" if head.endswith(("ForCausalLM", "LMHeadModel")) else None
