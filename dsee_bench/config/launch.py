"""Launch settings: where things lie, what is printed, how a run is started. None of them changes a result."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from dsee_bench.config.limits import Count, Limits, NotNegative, Positive

Folding = Literal["merged", "auto", "apart"]  # of an adapter into its weight; auto: where that fills no zeros
Storage = Literal["dense", "bitmask", "csr"]


def default_results_dir() -> Path:
    """Return the project's results/ in a checkout, ./results elsewhere."""
    project = Path(__file__).resolve().parents[2]
    return project / "results" if (project / "pyproject.toml").is_file() else Path("results").resolve()


@dataclass(frozen=True)
class Tracking:
    """Where a run is tracked in wandb."""

    mode: Literal["disabled", "offline", "online"]
    project: str
    entity: str | None  # user or team; None: the key's own
    group: str | None  # None: the name of the experiment


@dataclass(frozen=True)
class Budget:
    """What the final model may cost. It chooses settings of the method (plan/budget.py), and these identify a run."""

    saved: Annotated[float, Limits(gt=0, lt=1, hint="it is a share of the FLOPs")] | None
    megabytes: Positive | None  # of the weights in a file
    latency_ms: Positive | None  # of a forward pass on this machine
    trained: Annotated[float, Limits(gt=0, lt=1, hint="it is the adapter's share of the model")] | None

    def __post_init__(self) -> None:
        asked = [key for key in ("saved", "megabytes", "latency_ms") if getattr(self, key) is not None]
        if len(asked) > 1:
            raise ValueError(f"budget.{asked[0]} and budget.{asked[1]} choose the same heads and neurons; give one")


@dataclass(frozen=True)
class Launch:
    """All launch settings. A setting that is not one of these fields is part of a run's identity."""

    data_dir: Path | None
    results_dir: Path | None
    force: bool
    plan: Literal["json"] | bool
    device: Literal["auto", "cpu"]
    threads: Annotated[int, Limits(ge=1, hint="threads=null takes torch's default")] | None
    save_every: NotNegative  # seconds; 0 saves after every step
    export: Path | None
    export_adapter: Folding
    export_storage: Storage
    export_onnx: bool
    export_quantize: Literal["int8"] | None
    measure: Literal["again"] | bool
    measure_engines: tuple[str, ...]  # files of deploy/engines/
    measure_energy: bool
    measure_seconds: Positive
    budget: Budget
    evaluate_on: tuple[str, ...]  # other tasks that the model is scored on before, between and after its tunings
    evaluate_rows: Count | None  # of each of them the first ones; None: all
    evaluate_data_dir: Path | None  # of their files; None: data_dir
    quiet: bool
    tracking: Tracking

    def __post_init__(self) -> None:
        if self.export_onnx and self.export is None:
            raise ValueError("export_onnx=true writes into the folder of export=DIR; name one")
        if self.export_quantize and not self.export_onnx:
            raise ValueError(f"export_quantize={self.export_quantize} is of the ONNX file; add export_onnx=true")
        for name in ("measure_engines", "measure_energy"):
            if getattr(self, name) and not self.measure:
                raise ValueError(f"{name} says what measure=true times; add measure=true, or measure=again")

    @property
    def results(self) -> Path:
        """Folder of records and work files: results_dir, or the default."""
        return (self.results_dir or default_results_dir()).resolve()
