"""How much memory a run's tunings and its answering take, by the formulas of models/memory/."""

from dsee_bench.config.recipes import Recipe
from dsee_bench.models.memory import Use
from dsee_bench.system import distributed, hardware
from dsee_bench.training.job import EVAL_BATCH


def training_use(recipe: Recipe, device: str, *, adapter_dropout: bool) -> Use:
    """Return how a tuning uses the model: the longest batch, or part of one, of one process."""
    on_cpu = device == "cpu" or not hardware.has_gpu()
    parts = recipe.gradient_accumulation_steps
    return Use(
        rows=max(1, recipe.batch_size // parts // distributed.world_size()),
        tokens=recipe.max_length,
        bf16=_bf16(recipe.precision, on_cpu),
        on_cpu=on_cpu,
        checkpointing=bool(recipe.gradient_checkpointing),
        accumulates=parts > 1,
        adapter_dropout=adapter_dropout,
        shards=distributed.world_size() if distributed.asks_for_fsdp() else 1,
    )


def answering_use(recipe: Recipe, device: str, *, causal: bool) -> Use:
    """Return how the evaluations use the model: the longest batch of one process."""
    tuning = training_use(recipe, device, adapter_dropout=False)
    rows = tuning.rows if causal else EVAL_BATCH
    return Use(rows, tuning.tokens, tuning.bf16, tuning.on_cpu)


def _bf16(precision: str, on_cpu: bool) -> bool:
    """As training.evaluate.use_bf16 decides, without torch."""
    return precision == "bf16" if precision != "auto" else not on_cpu or hardware.multiplies_bf16()
