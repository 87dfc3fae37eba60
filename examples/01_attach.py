"""Put a DSEE adapter on a transformers model of your own and train it like any other PEFT method."""

import torch
from peft import get_peft_model
from transformers import BertConfig, BertForSequenceClassification

from dsee_bench import DseeConfig

model = BertForSequenceClassification(BertConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4))

config = DseeConfig(
    r=4, lora_alpha=8, num_entries=16, target_modules=["query", "value"], modules_to_save=["classifier"]
)
model = get_peft_model(model, config)
optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-3)
model(input_ids=torch.ones(2, 8, dtype=torch.long), labels=torch.tensor([0, 1])).loss.backward()
optimizer.step()

model.print_trainable_parameters()
