"""Zero half of a model's weights, the smallest ones; the zeros stay while it trains on."""

import torch
from transformers import BertConfig, BertForSequenceClassification

from dsee_bench import count, prune_

model = BertForSequenceClassification(BertConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4))

masks = prune_(model, sparsity=0.5)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)  # made after the pruning
model(input_ids=torch.ones(2, 8, dtype=torch.long), labels=torch.tensor([0, 1])).loss.backward()
optimizer.step()
assert not any(model.get_parameter(name)[~mask].any() for name, mask in masks.items())

print(f"{count(model).nnz:,} of {count(model).total:,} parameters are not zero")
