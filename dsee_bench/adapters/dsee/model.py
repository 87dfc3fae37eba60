"""PEFT's model of DSEE adapters: puts a DseeLayer around each targeted module of a model; PEFT does the rest."""

from peft.tuners.tuners_utils import BaseTuner
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from dsee_bench.adapters.dsee.config import DseeConfig
from dsee_bench.adapters.dsee.layer import DseeLayer


class DseeModel(BaseTuner):
    """What get_peft_model wraps a model in for a DseeConfig."""

    prefix = "dsee_"
    tuner_layer_cls = DseeLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    def inject_adapter(
        self,
        model: nn.Module,
        adapter_name: str,
        autocast_adapter_dtype: bool = True,
        low_cpu_mem_usage: bool = False,
        state_dict: dict[str, Tensor] | None = None,
    ) -> None:
        """Put the adapter `adapter_name` on every targeted module, and note in its config what each was given."""
        super().inject_adapter(model, adapter_name, autocast_adapter_dtype, low_cpu_mem_usage, state_dict)
        config = self.peft_config[adapter_name]
        layers = {
            module.name: module
            for module in model.modules()
            if isinstance(module, DseeLayer) and adapter_name in module.dsee_u
        }
        unused = (
            [name for name in config.num_entries if name not in layers] if isinstance(config.num_entries, dict) else []
        )
        unused += [end for end in config.row_blocks or {} if not any(name.endswith(end) for name in layers)]
        if unused:
            raise ValueError(
                f"num_entries or row_blocks name {', '.join(unused)}, which are not adapted; "
                f"adapted are {', '.join(layers)}"
            )
        config.num_entries = {name: layer.num_entries(adapter_name) for name, layer in layers.items()}

    def _create_and_replace(
        self,
        config: DseeConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if not isinstance(target, DseeLayer):
            if not isinstance(target, nn.Linear | Conv1D):
                raise ValueError(
                    f"DSEE adapts Linear and Conv1D modules, {current_key} is a {type(target).__name__}; "
                    f"target_modules is {config.target_modules}"
                )
            target = DseeLayer(target, current_key)
            self._replace_module(parent, target_name, target, target.base_layer)
        target.add_adapter(adapter_name, config)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        # PEFT's own also moves and copies weights, which fails where a module without one is put back on unloading.
        setattr(parent, child_name, new_module)
