"""Count what a model has, what trains, and what a forward pass costs, with a DSEE adapter and beside LoRA."""

from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification

from dsee_bench import DseeConfig, count

for config in (DseeConfig(r=4, num_entries=64), LoraConfig(r=4)):
    config.target_modules = {"query", "value"}
    model = BertForSequenceClassification(BertConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4))
    found = count(get_peft_model(model, config), tokens=128)
    print(f"{type(config).__name__}: {found.adapter:,} of {found.total:,} parameters train; {found.flops:,} FLOPs")
