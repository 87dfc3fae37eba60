"""Answers of a finished run or an exported model on rows without labels."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedModel

from dsee_bench import config, plan
from dsee_bench.config.launch import Launch
from dsee_bench.deploy import manifest
from dsee_bench.deploy.export import outputs_of
from dsee_bench.deploy.load import load
from dsee_bench.deploy.manifest import TaskOutputs
from dsee_bench.plan import Settings
from dsee_bench.record import Record
from dsee_bench.runs import pipeline, predict_texts, state
from dsee_bench.system.errors import UserError
from dsee_bench.tasks.example import split_of
from dsee_bench.tasks.labelled import unlabelled
from dsee_bench.tasks.rows import Row
from dsee_bench.training.evaluate import answers_of, logits_of, probabilities_of
from dsee_bench.training.job import Setup


@dataclass(frozen=True)
class Model:
    """A model that answers, and what it answers."""

    model: PreTrainedModel
    setup: Setup
    outputs: TaskOutputs


def exported(folder: Path, device: str) -> Model:
    """Return the model of an exported folder; ValueError for a folder that is not whole or not of ours."""
    outputs = manifest.read(folder).task
    # Of the settings only those below are read to answer; the others are the defaults.
    default = plan.read(config.resolve(config.compose(["task=toy_pairs"])))
    recipe = dataclasses.replace(default.recipe, max_length=outputs["max_length"], precision=outputs["precision"])
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if outputs["kind"] == "generation" and tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    setup = Setup(tokenizer, default.task, recipe, device, truncate=outputs.get("truncate"))
    return Model(load(folder), setup, outputs)


@contextlib.contextmanager
def of_run(found: Record, launch: Mapping[str, Any]) -> Iterator[Model]:
    """Give the model of a finished run, from its cached states; `launch` has results_dir, data_dir and device."""
    if found.status != "finished":
        raise UserError(f"{found.run_id} is {found.status}; only a finished run has a model to answer")
    settings = _settings(found, launch)
    if settings.answers is not None:
        raise UserError(f"{found.run_id} has no model: method {settings.method} always gives the most frequent answer")
    with state.locked(settings):
        rebuilt = pipeline.rebuilt(settings, found)
        yield Model(rebuilt.model, rebuilt.setup, outputs_of(rebuilt.setup))


def _settings(found: Record, launch: Mapping[str, Any]) -> Settings:
    default = config.resolve(config.compose([]))
    names = {field.name for field in dataclasses.fields(Launch)}
    launched = {name: value for name, value in default.items() if name in names}
    settings = plan.read({**launched, **found.config, **launch})
    if settings.run_id != found.run_id:
        raise UserError(f"the settings of {found.run_id} are those of {settings.run_id} in this version; run it again")
    return settings


def predict(answering: Model, file: Path, rows: Sequence[Row], texts: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the columns of the answers to `rows` of `file`, in their order.

    "answer" holds class names or numbers; for classes "probability of NAME" holds the softmax of the logits. `texts`
    are the columns of the texts. ValueError names file, line and rule for a row without them.
    """
    outputs = answering.outputs
    shares_of = {label: f"probability of {label}" for label in outputs["labels"]}
    _check_free(file, rows, {"answer", *shares_of.values()})
    split = split_of("input", unlabelled(file, rows, texts), files=(file,))
    with tempfile.TemporaryDirectory() as folder:
        logits, _ = logits_of(answering.model, answering.setup, split, Path(folder))
    answers = answers_of(logits, outputs["kind"])
    if outputs["kind"] == "regression":
        return {"answer": answers}
    shares = probabilities_of(logits, outputs["kind"])
    named = [outputs["labels"][int(answer)] for answer in answers]
    return {"answer": named} | {name: shares[:, index].tolist() for index, name in enumerate(shares_of.values())}


def written(answering: Model, file: Path, rows: Sequence[Row], column: str | None) -> Iterator[dict[str, list[Any]]]:
    """Yield the columns of the texts for `rows` of `file`, some rows at a time, in their order.

    `column` is that of the prompts; None: the run's own template makes them.
    """
    _check_free(file, rows, {"answer"})
    tokenizer = answering.setup.tokenizer
    for texts in predict_texts.write(answering.model, tokenizer, answering.outputs, rows, column):
        yield {"answer": texts}


def _check_free(file: Path, rows: Sequence[Row], names: set[str]) -> None:
    clash = sorted(names & {column for row in rows for column in row.cells})
    if clash:
        raise UserError(f"{file} has a column {clash[0]!r} already; rename it")
