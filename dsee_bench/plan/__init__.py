"""What a run will do and cost, worked out from the settings alone: no weight, no row, no network."""

import dataclasses
from collections.abc import Set
from dataclasses import dataclass

from dsee_bench.adapters.peft_methods import METHODS
from dsee_bench.config import ConfigError, recipes
from dsee_bench.models import cost
from dsee_bench.models.memory import Memory, Use, inference, training
from dsee_bench.models.spec import Dtype, ModelSpec
from dsee_bench.plan import retention
from dsee_bench.plan.settings import Composition, Method, Settings, read
from dsee_bench.stages.attach import Peft
from dsee_bench.stages.stage import Stage
from dsee_bench.stages.tune import Tune
from dsee_bench.system import distributed
from dsee_bench.tasks.example import CAUSAL, Task
from dsee_bench.tasks.holdout import TWO_WAYS
from dsee_bench.training.memory import answering_use, training_use

__all__ = ["COUNTS", "TOKENS", "Composition", "Method", "Plan", "Settings", "Step", "plan", "read"]
COUNTS = ("adapter", "trainable", "nnz", "total")
TOKENS = 128  # the length that FLOPs are stated at, as in the paper


@dataclass(frozen=True)
class Step:
    """One stage of a plan: the sites it touches, the model after it, and its optimizer steps where rows are known."""

    name: str
    sites: tuple[str, ...]
    spec: ModelSpec
    steps: int | None
    estimates: tuple[str, ...]  # which of its numbers: adapter, trainable, nnz, total, flops
    memory: Memory | None  # of a tuning's step


@dataclass(frozen=True)
class Plan:
    run_id: str
    source: recipes.Source
    before: ModelSpec
    steps: tuple[Step, ...]
    dtype: Dtype  # of the weights that do not train
    tuning: Use  # the batch of a tuning's step
    answering: Use  # the batch of an evaluation
    inference: Memory  # of answering with the final model
    passes: int | None  # forward passes of an example: one, or one a choice; None: rows have lists of choices
    chosen: tuple[str, ...] = ()  # words that set what a budget chose
    others: tuple[str, ...] = ()  # tasks that evaluate_on names
    others_after: tuple[str | None, ...] = ()  # stages after which they are scored; None: before the first

    @property
    def largest(self) -> Memory | None:
        """Memory of the tuning that needs the most; None where nothing is tuned."""
        tunings = [step.memory for step in self.steps if step.memory is not None]
        return max(tunings, key=lambda memory: memory.peak, default=None)

    @property
    def final(self) -> ModelSpec:
        return self.steps[-1].spec if self.steps else self.before

    def flops(self, spec: ModelSpec) -> cost.Flops:
        return cost.Flops(TOKENS, cost.forward_flops(self.before, TOKENS), cost.forward_flops(spec, TOKENS))


def plan(settings: Settings) -> Plan:
    """Plan every stage in turn; ConfigError names a stage that cannot follow the ones before it."""
    if settings.answers is not None:
        _check_without_model(settings)
    try:
        before = spec = settings.backbone.spec(settings.labels)
    except ValueError as error:
        raise ConfigError(f"task {settings.task.name}: {error}") from error
    try:
        distributed.per_process(settings.recipe.batch_size // settings.recipe.gradient_accumulation_steps)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    longest = settings.backbone.longest
    if longest is not None and settings.recipe.max_length > longest:
        raise ConfigError(
            f"train.max_length={settings.recipe.max_length} is too long; {settings.backbone.name} reads {longest} "
            "tokens at most"
        )
    if settings.recipe.label_smoothing and settings.task.kind in ("regression", "multi_label", "multiple_choice"):
        raise ConfigError(
            f"train.label_smoothing needs classes or tokens; {settings.task.name} is of kind {settings.task.kind}"
        )
    try:
        settings.recipe.check_classes(settings.task.kind, settings.task.labels)
    except ValueError as error:
        raise ConfigError(f"task {settings.task.name}: {error}") from error
    lacks_dev = getattr(settings.task, "lacks_dev", False)  # of a table task
    if lacks_dev and settings.recipe.validation_seed is None:
        raise ConfigError(f"task {settings.task.name} has no dev split; {TWO_WAYS}")
    _refuse_stored(settings)
    retention.check_others(settings)
    device = settings.launch.device
    tuning = training_use(settings.recipe, device, adapter_dropout=any(map(has_dropout, settings.stages.values())))
    answering = answering_use(settings.recipe, device, causal=settings.labels is None)
    passes = _passes(settings.task)
    tuning, answering = (dataclasses.replace(use, rows=use.rows * (passes or 1)) for use in (tuning, answering))
    steps = []
    estimated: frozenset[str] = frozenset()
    for name, stage in settings.stages.items():
        try:
            after = stage.plan(spec)
            sites = tuple(site.path for site in stage.sites(spec))
            estimated |= stage.estimates(spec)
        except ValueError as error:
            raise ConfigError(f"method.stages.{name}: {error}") from error
        spec = after
        taken = training(spec, settings.backbone.dimensions, tuning) if isinstance(stage, Tune) else None
        steps.append(Step(name, sites, spec, _steps(settings, stage), _with_sums(estimated, spec), taken))
    tuned = [step for step in steps if isinstance(settings.stages[step.name], Tune)]
    if settings.init_from is not None and not (tuned and tuned[0].spec.adapter):
        raise ConfigError(
            f"init_from={settings.init_from} gives an adapter to start from, but method {settings.method} has none; "
            "choose a method with one, or init_from=null"
        )
    return Plan(
        settings.run_id,
        settings.source,
        before,
        tuple(steps),
        settings.backbone.dtype or "float32",
        tuning,
        answering,
        inference(spec, settings.backbone.dimensions, answering),
        passes,
        others=tuple(settings.others),
        others_after=tuple(retention.moments(settings)) if settings.others else (),
    )


def _passes(task: Task) -> int | None:
    """Return the forward passes of an example; None where it is the number of choices in a list of each row."""
    if task.kind != "multiple_choice":
        return 1
    columns: tuple[str, ...] = task.choice_columns  # type: ignore[attr-defined]  # a table task
    return len(columns) if len(columns) > 1 else None


def has_dropout(stage: Stage) -> bool:
    """Return whether the stage attaches an adapter with dropout on its input."""
    more = stage.settings if isinstance(stage, Peft) else {}
    return bool(getattr(stage, "dropout", None) or more.get("lora_dropout"))


def _refuse_stored(settings: Settings) -> None:
    """ConfigError for a method that needs all weights in float32, where they are to be stored in 16 bits."""
    dtype = settings.backbone.dtype
    if dtype in (None, "float32"):
        return
    for name, stage in settings.stages.items():
        if isinstance(stage, Tune) and stage.parameters == "all":
            what, way_out = "tunes all of them", "leave it out (train.precision=bf16 computes in bfloat16)"
        elif isinstance(stage, Peft) and METHODS[stage.type].in_weight:
            what, way_out = f"adds {stage.type} to the weights themselves", "leave it out"
        else:
            continue
        raise ConfigError(
            f"backbone.dtype={dtype} is for weights that stay as they are, and stage {name} of method "
            f"{settings.method} {what}; {way_out}, or choose a method with another adapter, as method=lora"
        )


def _check_without_model(settings: Settings) -> None:
    """ConfigError for what needs the model that a method does not have."""
    said = f"method {settings.method} always gives the most frequent answer, and has no model"
    if settings.stages:
        raise ConfigError(f"{said}; its stages must be {{}}, got {', '.join(settings.stages)}")
    if settings.task.kind in CAUSAL:
        raise ConfigError(f"{said}; task {settings.task.name} asks for texts, and has no answer that is most frequent")
    asked = [name for name in ("export", "measure") if getattr(settings.launch, name)]
    if asked:
        raise ConfigError(f"{said} to {'export' if 'export' in asked else 'time'}; leave {' and '.join(asked)} out")


def _with_sums(estimated: Set[str], spec: ModelSpec) -> tuple[str, ...]:
    """Return the estimates, and the counts that contain one, in the order of the columns."""
    trainable = {"nnz"} if spec.tuned == "all" else {"adapter"}
    sums = {"trainable": trainable, "total": {"adapter"}}
    names = estimated | {name for name, parts in sums.items() if parts & estimated}
    return tuple(name for name in (*COUNTS, "flops") if name in names)


def _steps(settings: Settings, stage: Stage) -> int | None:
    """Return the optimizer steps of a tuning; None for other stages and an unknown number of rows."""
    rows = settings.task.rows.get("train")
    if not isinstance(stage, Tune) or rows is None or settings.task.kind == "language_modeling":
        return None  # blocks of running text are counted in tokens
    if settings.recipe.validation is not None and settings.task.kind == "generation":
        return None  # contexts are held out, and each has another number of texts
    return settings.recipe.steps(rows - settings.recipe.held_out(rows), stage.epochs)
