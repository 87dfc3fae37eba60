"""The DSEE adapter as a PEFT method: import this package, then use DseeConfig as any other PEFT configuration.

    model = get_peft_model(model, DseeConfig(target_modules=["query", "value"], num_entries=64))

Before PeftModel.from_pretrained of a saved one dsee_bench must have been imported, too. PEFT's register_peft_method
refuses names outside its own list, so the three tables it fills are written here.
"""

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

from dsee_bench.adapters.dsee.config import DseeConfig, PeftType
from dsee_bench.adapters.dsee.layer import DseeLayer
from dsee_bench.adapters.dsee.model import DseeModel

__all__ = ["DseeConfig", "DseeLayer", "DseeModel"]

for name in PeftType:
    PEFT_TYPE_TO_CONFIG_MAPPING[name] = DseeConfig
    PEFT_TYPE_TO_TUNER_MAPPING[name] = DseeModel
    PEFT_TYPE_TO_PREFIX_MAPPING[name] = DseeModel.prefix
