"""Remove half of the attention heads and 40 % of the neurons, and store the smaller, faster model."""

from tempfile import TemporaryDirectory

from transformers import BertConfig, BertForSequenceClassification

from dsee_bench import count, load, narrow_, save

model = BertForSequenceClassification(BertConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4))
before = count(model)

heads, neurons = narrow_(model, heads=0.5, ffn=0.4)
with TemporaryDirectory() as folder:
    save(model, f"{folder}/smaller")  # from_pretrained does not know the new shapes
    model = load(f"{folder}/smaller")

print("heads that stay in each layer:", heads)
print(f"FLOPs of 128 tokens: {before.flops:,} before, {count(model).flops:,} now")
