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
from dsee_bench.tasks.choices import Choosing, questions
from dsee_bench.tasks.example import THRESHOLD, Split, split_of
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
    model = load(folder)
    # With the model's configuration: transformers would warn of a config.json that `load` alone reads.
    tokenizer = AutoTokenizer.from_pretrained(folder, config=model.config, local_files_only=True)
    if outputs["kind"] == "generation" and tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    setup = Setup(tokenizer, default.task, recipe, device, truncate=outputs.get("truncate"))
    return Model(model, setup, outputs)


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

    "answer" holds class names, numbers, or a list of the labels above the threshold; for classes and labels
    "probability of NAME" holds the softmax, or of each label the sigmoid, of the logits. `texts` are the columns of the
    texts. ValueError names file, line and rule for a row without them.
    """
    outputs = answering.outputs
    if outputs["kind"] == "multiple_choice":
        return _chosen(answering, file, rows, texts)
    shares_of = {label: f"probability of {label}" for label in outputs["labels"]}
    _check_free(file, rows, {"answer", *shares_of.values()})
    split = split_of("input", unlabelled(file, rows, texts), files=(file,))
    logits = _logits(answering, split)
    answers = answers_of(logits, outputs["kind"], outputs.get("threshold", THRESHOLD))
    if outputs["kind"] == "regression":
        return {"answer": answers}
    shares = probabilities_of(logits, outputs["kind"])
    names = outputs["labels"]
    if outputs["kind"] == "multi_label":
        named: list[Any] = [[name for name, has in zip(names, row, strict=True) if has] for row in answers]
    else:
        named = [names[int(answer)] for answer in answers]
    return {"answer": named} | {name: shares[:, index].tolist() for index, name in enumerate(shares_of.values())}


def _logits(answering: Model, split: Split[Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return logits_of(answering.model, answering.setup, split, Path(folder))[0]


def _chosen(answering: Model, file: Path, rows: Sequence[Row], texts: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the answers to questions: the label of the choice, its text, and the probability of each choice.

    The label is the row's own, else the name of the place as the training rows have it, else the place from 0.
    """
    outputs = answering.outputs
    how = Choosing(texts, tuple(outputs.get("choices", ())), label=None, blank=outputs.get("blank"))
    offered = [how.offered(row) for row in rows]
    most = max(len(choices) for _, choices in offered)
    names = [*outputs["labels"], *map(str, range(len(outputs["labels"]), most))]
    shares_of = [f"probability of choice {number}" for number in range(1, most + 1)]
    _check_free(file, rows, {"answer", "choice", *shares_of})
    logits = _logits(answering, split_of("input", questions(rows, how, str(file)), files=(file,)))
    places = answers_of(logits, outputs["kind"])
    shares = probabilities_of(logits, outputs["kind"])
    return {
        "answer": [(labels or names)[place] for place, (labels, _) in zip(places, offered, strict=True)],
        "choice": [choices[place] for place, (_, choices) in zip(places, offered, strict=True)],
    } | {
        name: [float(share) if at < len(choices) else None for share, (_, choices) in zip(column, offered, strict=True)]
        for at, (name, column) in enumerate(zip(shares_of, shares.T, strict=True))
    }


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
