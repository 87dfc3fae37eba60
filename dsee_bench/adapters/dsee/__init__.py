"""The DSEE adapter as a PEFT method: import this package, then use DseeConfig as any other PEFT configuration.

    model = get_peft_model(model, DseeConfig(target_modules=["query", "value"], num_entries=64))

Before PeftModel.from_pretrained of a saved one it must have been imported, too. PEFT's register_peft_method refuses
names outside its own list, so the three tables it fills are written here.
"""

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

from dsee_bench.adapters.dsee.config import NAME, DseeConfig
from dsee_bench.adapters.dsee.layer import DseeLayer
from dsee_bench.adapters.dsee.model import DseeModel

__all__ = ["DseeConfig", "DseeLayer", "DseeModel"]

PEFT_TYPE_TO_CONFIG_MAPPING[NAME] = DseeConfig
PEFT_TYPE_TO_TUNER_MAPPING[NAME] = DseeModel
PEFT_TYPE_TO_PREFIX_MAPPING[NAME] = DseeModel.prefix
