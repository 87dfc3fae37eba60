"""Small runs for the tests of exports: each is run once, then exported in many forms."""

import copy

import torch

from dsee_bench import plan
from dsee_bench.deploy.export import export, outputs_of
from dsee_bench.deploy.peft_form import Base
from dsee_bench.runs import pipeline, sweep

FEW_ROWS = "task.rows.dev=16"  # of toy_pairs
QUICK = [FEW_ROWS, "train.max_rows=32", "train.epochs=1", "train.retune_epochs=1", "train.lr_adapter=1e-2"]


class FinishedRuns:
    """Settings and state of runs after all of their stages."""

    def __init__(self, folder):
        self._folder, self._done = folder, {}

    def __call__(self, method, *overrides, backbone="tiny-bert"):
        key = (method, backbone, *overrides)
        if key not in self._done:
            quick = [word for word in QUICK if word != FEW_ROWS or not any(o.startswith("task=") for o in overrides)]
            asked = [*quick, f"method={method}", f"backbone={backbone}", *overrides]
            settings = plan.read(sweep.resolved(asked))
            folder = self._folder / str(len(self._done))
            state, inputs = pipeline.prepare(settings, folder)
            pipeline.run_stages(settings, state, folder / "states", inputs)
            self._done[key] = settings, state
        return self._done[key]


def write(run, folder, *, folding="merged", storage="dense", force=False, about=None, **base):
    settings, state = run
    return export(
        state.model,
        state.adapters,
        state.spec,
        settings.backbone.spec(settings.labels),
        state.setup.tokenizer,
        outputs_of(state.setup),
        folder,
        base=Base(settings.backbone.name, fresh=state.fresh, **base),
        folding=folding,
        storage=storage,
        force=force,
        about=about,
    )


def texts(tokenizer):
    """Two pairs of texts, the second longer, as the model takes them."""
    rows = ["a small test", "of two rows, the second a good deal longer than the first"]
    return dict(tokenizer(rows, rows[::-1], padding=True, return_tensors="pt"))


def logits(model, tokenizer):
    model = copy.deepcopy(model).eval().double()
    with torch.no_grad():
        return model(**texts(tokenizer)).logits
