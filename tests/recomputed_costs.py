"""What a run costs, from its record's settings and stages by formula. Nothing of dsee_bench is used.

One forward pass over T tokens, a multiply and an add counted as two: 2 T for each entry of a weight that is not zero,
4 T^2 D for each head of D features, 2 T V h for the tied unembedding of a decoder. An adapter is beside its weight or
merged into it, whichever is cheaper; merged, it fills the zeros.
"""

import math
import re
from dataclasses import dataclass

MEASURED = {  # the costs of a record that no formula gives
    "latency_ms": "timed",
    "latency_dense_ms": "timed",
    "latency_ratio": "timed, the median of the ratios",
    "tokens_per_second": "timed",
    "disk_bytes": "the size of a file, with its header",
}
MORE_ZEROS = {  # (cost, backbone or None for all) -> how much more than by formula it may be, and why
    ("sparsity_merged", None): 1e-6,  # a weight and its adapter's delta may cancel
    ("sparsity_masked", "smollm2"): 1e-3,  # its published weights have zeros, whose number stands in no setting
    ("sparsity_merged", "smollm2"): 1e-3,
    ("sparsity_model", "smollm2"): 1e-3,
}
PARTS = {  # model type -> kind -> modules of a layer
    "bert": {
        "query": ["attention.self.query"],
        "key": ["attention.self.key"],
        "value": ["attention.self.value"],
        "out": ["attention.output.dense"],
        "ffn_in": ["intermediate.dense"],
        "ffn_out": ["output.dense"],
    },
    "mpnet": {
        "query": ["attention.attn.q"],
        "key": ["attention.attn.k"],
        "value": ["attention.attn.v"],
        "out": ["attention.attn.o"],
        "ffn_in": ["intermediate.dense"],
        "ffn_out": ["output.dense"],
    },
    "llama": {
        "query": ["self_attn.q_proj"],
        "key": ["self_attn.k_proj"],
        "value": ["self_attn.v_proj"],
        "out": ["self_attn.o_proj"],
        "ffn_in": ["mlp.gate_proj", "mlp.up_proj"],
        "ffn_out": ["mlp.down_proj"],
    },
}
LAYERS = {"bert": "bert.encoder.layer", "mpnet": "mpnet.encoder.layer", "llama": "model.layers"}
DISTANCES = 32  # buckets of MPNet's position biases, a number for each head of the untouched model


@dataclass
class Weight:
    kind: str
    outputs: int
    inputs: int
    zeros: int = 0
    rank: int = 0
    entries: int = 0  # K
    vectors: int = 0  # parameters of an adapter beside its two factors
    adapted: bool = False

    @property
    def size(self) -> int:
        return self.outputs * self.inputs

    @property
    def adapter(self) -> int:
        return self.rank * (self.outputs + self.inputs) + self.entries + self.vectors


def expected(record: dict) -> dict[str, float]:
    """Return what the costs of a record must be, by name: all but MEASURED."""
    config = record["config"]
    if config["method"]["name"] == "majority":
        return {"adapter_parameters": 0, "trainable_parameters": 0}
    backbone, tokens = config["backbone"], stated_length(record)
    heads = [backbone["heads"]] * backbone["layers"]
    dense = _flops(weights_of(backbone, None), heads, backbone, tokens)
    narrowed, weights = apply_stages(record)
    if narrowed:
        heads = [_queries_per_key(backbone) * len(kept) for kept in narrowed["heads"]]
    adapter = sum(weight.adapter for weight in weights.values())
    zeros = sum(weight.zeros for weight in weights.values())
    pretrained, head = _parameters(backbone, config["task"], weights)
    total = pretrained + head + adapter
    tuned = [stage["parameters"] for stage in config["method"]["stages"].values() if "Tune" in stage["_target_"]]
    trained = {"all": pretrained + head, "adapter": adapter + head}[tuned[-1]] if tuned else 0
    final = _flops(weights, heads, backbone, tokens)
    size = sum(weight.size for weight in weights.values())
    return {
        "adapter_parameters": adapter,
        "head_parameters": head,
        "trainable_parameters": trained - (zeros if tuned[-1:] == ["all"] else 0),
        "optimizer_entries": 2 * trained,  # AdamW's moments; a masked entry has them too
        "total_parameters": total,
        "position_bits": sum(w.entries * math.ceil(math.log2(w.size)) for w in weights.values()),
        "sparsity_masked": zeros / size,
        "sparsity_merged": sum(w.zeros for w in weights.values() if not w.adapted) / size,
        "sparsity_model": zeros / total,
        "flops_dense": dense,
        "flops_final": final,
        "flops_saved": 1 - final / dense,
    }


def stated_length(record: dict) -> int:
    """Return the tokens of the forward pass that the record's FLOPs are of, as it says itself."""
    (said,) = (cost["counts"] for cost in record["costs"] if cost["name"] == "flops_dense")
    return int(re.search(r"over (\d+) tokens", said)[1])


def wrong_costs(record: dict) -> list[str]:
    """Return what is wrong with the costs of a record."""
    backbone, right = record["config"]["backbone"]["name"], expected(record)
    wrong = []
    for cost in record["costs"]:
        name, value = cost["name"], cost["value"]
        if name in MEASURED:
            continue
        more = max(MORE_ZEROS.get((name, key), 0.0) for key in (None, backbone))
        slack = 1e-12 * abs(right[name])
        if not right[name] - slack <= value <= right[name] + slack + more:
            wrong.append(f"{record['run_id']}: {name} is {value}, by formula {right[name]}")
    return wrong


def shape(record: dict) -> tuple[int, int]:
    """Return how many heads and neurons are left in all layers."""
    backbone = record["config"]["backbone"]
    narrowed, _ = apply_stages(record)
    if not narrowed:
        return backbone["layers"] * backbone["heads"], backbone["layers"] * backbone["ffn"]
    return _queries_per_key(backbone) * sum(map(len, narrowed["heads"])), sum(narrowed["neurons"])


def apply_stages(record: dict) -> tuple[dict | None, dict[str, Weight]]:
    """Return the facts of the stage that narrowed the model, and its weights after all stages, by path."""
    backbone, stages = record["config"]["backbone"], record["config"]["method"]["stages"]
    facts = {stage["name"]: stage["facts"] for stage in record["stages"]}
    narrowed = next((known for known in facts.values() if "neurons" in known), None)
    weights = weights_of(backbone, narrowed)
    for name, stage in stages.items():
        for path, weight in weights.items():
            if weight.kind in stage.get("kinds", ()):
                _attach(weight, stage)
            if "sparsity_by_site" in facts.get(name, ()):
                weight.zeros = round(facts[name]["sparsity_by_site"].get(path, 0) * weight.size)
            if stage["_target_"].endswith("SparseEntries") and stage["placement"] != "none" and weight.rank:
                weight.entries = narrowed["entries"].get(path, 0) if narrowed else stage["num_entries"]
    return narrowed, weights


def _attach(weight: Weight, stage: dict) -> None:
    """Put the adapter of a stage beside a weight, as its paper has it."""
    weight.adapted = True
    match stage.get("type"):
        case "IA3":  # a factor for each output, or for each input of the last weight of a layer
            weight.vectors = weight.inputs if weight.kind == "ffn_out" else weight.outputs
        case "ADALORA":  # U diag(e) V
            weight.rank = weight.vectors = stage["settings"]["init_r"]
        case "LORA":
            weight.rank = stage["settings"]["r"]
        case None:
            weight.rank = stage["rank"]
        case other:
            raise NotImplementedError(f"no formula here for PEFT's {other}; write it")


def weights_of(backbone: dict, narrowed: dict | None) -> dict[str, Weight]:
    """Return the weights of the layers by path; with the heads and neurons that a run kept."""
    hidden, model = backbone["hidden"], backbone["model_type"]
    head_size = hidden // backbone["heads"]
    weights = {}
    for layer in range(backbone["layers"]):
        keys = len(narrowed["heads"][layer]) if narrowed else backbone.get("key_heads", backbone["heads"])
        ffn = narrowed["neurons"][layer] if narrowed else backbone["ffn"]
        queries = keys * _queries_per_key(backbone)
        shapes = {
            "query": (queries * head_size, hidden),
            "key": (keys * head_size, hidden),
            "value": (keys * head_size, hidden),
            "out": (hidden, queries * head_size),
            "ffn_in": (ffn, hidden),
            "ffn_out": (hidden, ffn),
        }
        for kind, modules in PARTS[model].items():
            for module in modules:
                weights[f"{LAYERS[model]}.{layer}.{module}"] = Weight(kind, *shapes[kind])
    return weights


def _queries_per_key(backbone: dict) -> int:
    return backbone["heads"] // backbone.get("key_heads", backbone["heads"])


def _parameters(backbone: dict, task: dict, weights: dict[str, Weight]) -> tuple[int, int]:
    """The parameters of the pretrained model, and those of the task head."""
    hidden, layers = backbone["hidden"], backbone["layers"]
    linear = sum(weight.size for weight in weights.values())
    if backbone["model_type"] == "llama":  # RMSNorm has one vector; no bias; the unembedding is the embedding
        return linear + (backbone["vocabulary"] + 2 * layers + 1) * hidden, 0
    if backbone["model_type"] == "bert" and not backbone["new_pooler"]:
        raise NotImplementedError("no formula here for a pretrained pooler; write it")
    tables = (backbone["vocabulary"] + backbone["positions"] + backbone.get("types", 0)) * hidden
    if backbone["model_type"] == "mpnet":
        tables += DISTANCES * backbone["heads"]
    norms = 2 * (2 * layers + 1) * hidden
    biases = sum(weight.outputs for weight in weights.values())
    labels = len(task["labels"]) if task["kind"] == "classification" else 1
    return linear + tables + norms + biases, hidden * hidden + hidden + labels * (hidden + 1)


def _flops(weights: dict[str, Weight], heads: list[int], backbone: dict, tokens: int) -> int:
    head_size = backbone["hidden"] // backbone["heads"]
    count = 4 * tokens**2 * head_size * sum(heads)
    for weight in weights.values():
        filled = weight.size - weight.zeros
        beside = filled + weight.rank * (weight.outputs + weight.inputs) + weight.entries
        count += 2 * tokens * (min(beside, weight.size) if weight.rank or weight.entries else filled)
    if backbone["model_type"] == "llama":
        count += 2 * tokens * backbone["vocabulary"] * backbone["hidden"]
    return count
