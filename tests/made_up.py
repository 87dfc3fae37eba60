"""Made-up records: their numbers mean nothing, only what is made of them is tested."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dsee_bench.record import Cost, Record, Score, StageLog
from dsee_bench.runs import answers
from dsee_bench.tasks.example import Example
from dsee_bench.training.evaluate import Answers


def synthetic(
    task: str = "rte",
    method: str = "dsee",
    seed: int = 0,
    value: float | None = 0.5,
    *,
    backbone: str = "minilm",
    sparsity: float = 0.2,
    learning_rate: float = 5e-4,
    checkpoint: str = "best dev",
    signature: str = "accuracy|made-up",
    sha256: str = "aa",
    score: str = "accuracy",
    unit: str = "0-1",
    split: str = "dev",
    status: Any = "finished",
    facts: dict[str, Any] | None = None,
    parameters: int = 1000,
    saved: float = 0.25,
) -> Record:
    stages = {
        "low_rank": {"rank": 16, "alpha": 32},
        "sparse": {"num_entries": 64, "placement": "decomposition"},
        "tune": {"epochs": 3},
        "prune": {"sparsity": sparsity, "pools": {"qv": sparsity, "rest": sparsity}},
    }
    settings = hashlib.sha256(repr((sparsity, learning_rate, checkpoint)).encode()).hexdigest()[:8]
    pruned = {"zeroed_entries": round(1e6 * sparsity)} if sparsity else {}
    return Record(
        run_id=f"{task}-{backbone}-{method}-s{seed}-{settings}",
        status=status,
        config={
            "seed": seed,
            "backbone": {"name": backbone},
            "task": {"name": task},
            "method": {"name": method, "stages": stages},
            "train": {"name": "made_up", "learning_rate": learning_rate, "batch": 32},
        },
        made_by={"command": "dsee-bench made=up", "commit": "c0ffee", "dirty": False, "device": "a made-up machine"},
        error="Traceback\nValueError: made up" if status == "failed" else None,
        checkpoint=checkpoint,
        scores=(Score(score, value, unit, "higher", split, 277, signature, None if value is not None else "constant"),),
        costs=(
            Cost("trainable_parameters", parameters, "parameters", "adapter and head"),
            Cost("sparsity_masked", sparsity, "share", "zeros in W"),
            Cost("flops_final", 2e9, "FLOPs", "forward at 128 tokens"),
            Cost("flops_saved", saved, "share", "of the dense forward at 128 tokens"),
        ),
        stages=(StageLog("tune", 12.5, 2**20, facts or {"steps": 234}), StageLog("prune", 0.5, None, pruned)),
        data={"train": {"n": 2490, "sha256": "bb"}, split: {"n": 277, "sha256": sha256}},
    )


def keep_answers(
    results: Path,
    run_id: str,
    kind: str,
    split: str,
    said: Sequence[Any],
    truth: Sequence[Any],
    *,
    labels: Sequence[str] = ("no", "yes"),
    texts: Sequence[str] | None = None,
    **more: Sequence[Any],
) -> None:
    """Write the answers of a run on made-up texts, one a row; `more` are probabilities or categories."""
    rows = [Example((text,), 0) for text in texts or map(str, range(len(said)))]
    task = SimpleNamespace(kind=kind, labels=labels)
    given = {name: tuple(values) for name, values in more.items()}
    answered = Answers(split, tuple(said), tuple(truth), (), **given)
    answers.write(answers.path_of(run_id, results), task, [answered], {split: SimpleNamespace(examples=rows)})
