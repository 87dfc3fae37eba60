"""What `measure` and `evaluate_on` ask for that a record does not have. Nothing heavy is imported here."""

from dataclasses import dataclass

from dsee_bench.config.launch import Launch
from dsee_bench.plan import Settings
from dsee_bench.record import Record


@dataclass(frozen=True)
class Asked:
    """What is to be measured."""

    times: bool = False  # latency in torch, and bytes on disk
    engines: tuple[str, ...] = ()
    energy: bool = False

    def __bool__(self) -> bool:
        return self.times or bool(self.engines) or self.energy


def asked(launch: Launch, earlier: Record | None = None) -> Asked:
    """Return what `measure` asks for and the record of the finished run does not have; all of it with measure=again."""
    if not launch.measure:
        return Asked()
    if earlier is None or launch.measure == "again":
        return Asked(True, launch.measure_engines, launch.measure_energy)
    have = {cost.name for cost in earlier.costs}
    done = {deployment.engine for deployment in earlier.engines}
    return Asked(
        "latency_ms" not in have,
        tuple(name for name in launch.measure_engines if name not in done),
        launch.measure_energy and "energy_j" not in have,
    )


def to_retain(settings: Settings, earlier: Record) -> bool:
    """Return whether a finished run is to be scored on a task of `evaluate_on` that its record has no score of."""
    return not settings.others.keys() <= {score.task for score in earlier.retention}
