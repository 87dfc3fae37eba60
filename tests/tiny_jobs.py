"""A tuning of a tiny model on 64 toy rows."""

import tempfile
from pathlib import Path

import torch

from dsee_bench import plan
from dsee_bench.runs import sweep
from dsee_bench.training.job import Job, Setup


def job(tmp_path, *overrides, dropout=False):
    chosen = ["backbone=tiny-bert", "method=full", "train.max_rows=64", "train.precision=fp32", *overrides]
    settings = plan.read(sweep.resolved(chosen))
    torch.manual_seed(0)
    loaded = settings.backbone.load(len(settings.task.labels) or 1, settings.task.kind == "regression")
    if not dropout:
        for module in loaded.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    data = settings.task.load(None, 0)
    return Job(
        name="tune",
        model=loaded.model,
        setup=Setup(loaded.tokenizer, settings.task, settings.recipe, "cpu"),
        train=data["train"],
        dev=data["dev"],
        epochs=settings.recipe.epochs,
        learning_rate=1e-3,
        seed=0,
        folder=Path(tempfile.mkdtemp(dir=tmp_path)),  # none goes on from another
        masks=(),
        after_step=(),
        penalties=(),
    )


def weights(model):
    return torch.cat([value.detach().flatten() for value in model.parameters()])
