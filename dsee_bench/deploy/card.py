"""README.md of an exported model: the hub's YAML header, and what, how, scores, costs, command and limits in words.

Nothing in it says where on a machine something lay: of paths in the command the last name alone stays.
"""

import dataclasses
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from dsee_bench.config.launch import Launch
from dsee_bench.deploy.manifest import CARD, Manifest
from dsee_bench.deploy.peft_form import CONFIG, Base
from dsee_bench.record import Cost, Record, Score
from dsee_bench.system import secrets
from dsee_bench.tasks.example import CAUSAL

# The hub's names of metrics, where they differ from ours.
METRICS = {
    **{"matthews": "matthews_correlation", "pearson": "pearsonr", "spearman": "spearmanr"},
    **dict.fromkeys(("macro_f1", "micro_f1", "weighted_f1"), "f1"),
}
PIPELINES = {**dict.fromkeys(CAUSAL, "text-generation"), "multiple_choice": "multiple-choice"}
# Of checkpoints in conf/backbone, as their cards on the hub say; a card beside the weights goes before.
LICENSES = {
    **dict.fromkeys(("google-bert/bert-base-uncased", "google-bert/bert-large-uncased"), "apache-2.0"),
    **dict.fromkeys(
        ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-mpnet-base-v2"), "apache-2.0"
    ),
    **dict.fromkeys(("FacebookAI/roberta-base", "FacebookAI/roberta-large"), "mit"),
    **dict.fromkeys(("microsoft/deberta-base", "microsoft/deberta-v3-base"), "mit"),
    **{f"openai-community/{name}": "mit" for name in ("gpt2", "gpt2-medium", "gpt2-large")},
}
HOME = "https://huggingface.co"


@dataclass(frozen=True)
class About:
    """The run behind a model."""

    record: Record
    recipe: str  # whose it is, in words
    command: str
    license: str | None = None  # of the checkpoint, as the hub writes it


def license_of(card: Path | None) -> str | None:
    """Return the license in the YAML header of a model card; None where there is no card or it names none."""
    from huggingface_hub import ModelCard

    if card is None or not card.is_file():
        return None
    try:
        found = ModelCard.load(card, ignore_metadata_errors=True).data.to_dict().get("license")
    except Exception:  # of YAML, or of the hub's checks: the card is a stranger's, and only read for this
        return None
    return found if isinstance(found, str) and re.fullmatch(r"[\w.-]+", found) else None


def write_card(exported: Manifest, base: Base, about: About | None, folder: Path) -> None:
    """Write README.md into an exported folder."""
    header = _header(exported, base, about)
    body = "\n\n".join(_sections(exported, base, about, folder))
    text = secrets.starred(f"---\n{header.to_yaml(line_break=chr(10))}\n---\n\n{body}\n")
    (folder / CARD).write_text(text, encoding="utf-8")


def _header(exported: Manifest, base: Base, about: About | None) -> Any:
    from huggingface_hub import ModelCardData

    pipeline = PIPELINES.get(exported.task["kind"], "text-classification")
    task = {} if about is None else about.record.config["task"]
    data_set = _repository(task.get("hub"))
    scores = () if about is None else about.record.scores
    return ModelCardData(
        base_model=base.hub,
        datasets=[data_set] if data_set else None,
        metrics=sorted({METRICS.get(score.name, score.name) for score in scores}) or None,
        license=about.license if about else None,
        library_name="peft" if CONFIG in exported.files else "dsee-bench" if _needs_us(exported) else "transformers",
        pipeline_tag=pipeline,
        tags=["dsee-bench", *([about.record.config["method"]["name"]] if about else []), *_kinds(exported)],
        model_name=_name(exported, about),
        eval_results=[result for score in scores for result in _results(score, pipeline, exported, data_set)] or None,
    )


def _results(score: Score, pipeline: str, exported: Manifest, data_set: str | None) -> Iterator[Any]:
    """Yield a score as the hub's model-index has it; nothing where it is undefined."""
    from huggingface_hub import EvalResult

    if score.value is not None:
        yield EvalResult(
            task_type=pipeline,
            dataset_type=data_set or exported.task["name"],
            dataset_name=exported.task["name"],
            dataset_split=score.split,
            metric_type=METRICS.get(score.name, score.name),
            metric_name=score.name,
            metric_value=score.value,
        )


def _repository(hub: Any) -> str | None:
    """Return the data set on the hub that a task names; None for a folder, or none."""
    name = hub.get("repo") if isinstance(hub, dict) else hub
    return name if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", name) else None


def _needs_us(exported: Manifest) -> bool:
    return exported.weights == "weights.safetensors"


def _kinds(exported: Manifest) -> list[str]:
    """Return what was done to the model, as tags."""
    zeros = sum(weight.size - weight.nnz for weight in exported.spec.weights)
    found = {"pruned": exported.narrowed, "sparse": zeros > 0, "adapter": exported.adapter == "apart"}
    return [name for name, holds in found.items() if holds]


def _name(exported: Manifest, about: About | None) -> str:
    if about is None:
        return exported.task["name"]
    return f"{exported.backbone}-{exported.task['name']}-{about.record.config['method']['name']}"


def _sections(exported: Manifest, base: Base, about: About | None, folder: Path) -> Iterator[str]:
    yield f"# {_name(exported, about)}"
    yield _what(exported, base)
    yield _loading(exported, base, about, folder)
    if about is not None:
        yield _how(about)
        yield _scores(about.record.scores)
        yield _costs(about.record.costs)
        yield f"## Command\n\n```\n{_portable(about.command)}\n```"
    yield _limits(exported, base)


def _what(exported: Manifest, base: Base) -> str:
    name = f"[{base.hub}]({HOME}/{base.hub})" if base.hub else exported.backbone
    at = f" at revision `{base.revision}`" if base.hub and base.revision else ""
    labels = ", ".join(exported.task["labels"])
    outputs = f" Its labels are {labels}, in this order." if labels else ""
    total, nnz = (sum(getattr(weight, key) for weight in exported.spec.weights) for key in ("size", "nnz"))
    return (
        f"{name}{at}, made for {exported.task['name']} ({exported.task['kind'].replace('_', ' ')}) with dsee-bench."
        f"{outputs}\n\nIts linear weights have {total:,} entries, of which {total - nnz:,} are zero"
        f"{'; heads and neurons are removed' if exported.narrowed else ''}. Adapter: {exported.adapter}."
    )


def _loading(exported: Manifest, base: Base, about: About | None, folder: Path) -> str:
    kind = exported.task["kind"]
    cls = "AutoModelForCausalLM" if kind in CAUSAL else "AutoModelForSequenceClassification"
    if CONFIG in exported.files:
        count = len(exported.task["labels"]) if kind in ("classification", "multi_label") else 1
        outputs = "" if kind in CAUSAL else f", num_labels={count}"
        stored = about.record.config["backbone"].get("dtype") if about else None
        rounded = (f', dtype="{stored}"', ".float()") if base.hub and stored else ("", "")
        under = f'"{base.hub}"{outputs}' if base.hub else '"DIR/base"'
        dsee = "DSEE" in (folder / CONFIG).read_text(encoding="utf-8")
        lines = [
            *(["import dsee_bench  # makes DSEE known to PEFT"] if dsee else []),
            "from peft import PeftModel",
            f"from transformers import {cls}, AutoTokenizer",
            "",
            'tokenizer = AutoTokenizer.from_pretrained("DIR")',
            f"base = {cls}.from_pretrained({under}{rounded[0]}){rounded[1]}",
            "base.config.pad_token_id = tokenizer.pad_token_id",
            'model = PeftModel.from_pretrained(base, "DIR")',
        ]
    elif _needs_us(exported):
        lines = ["import dsee_bench", "", 'model = dsee_bench.load("DIR")']
    else:
        lines = [f"from transformers import {cls}", "", f'model = {cls}.from_pretrained("DIR")']
    code = "\n".join(lines)
    return f"## Load\n\n```python\n{code}\n```\n\n`DIR` is this folder; its tokenizer is in it."


def _how(about: About) -> str:
    config = about.record.config
    stages = " -> ".join(config["method"]["stages"]) or "none"
    chosen = f", {about.record.checkpoint} weights" if about.record.checkpoint else ""
    rows = ", ".join(f"{name} {data['n']:,}" for name, data in about.record.data.items())
    return (
        f"## Method\n\n{config['method']['name']}: {stages}. Seed {config['seed']}{chosen}. {about.recipe}\n\n"
        f"Rows: {rows}. Run `{about.record.run_id}`."
    )


def _scores(scores: Sequence[Score]) -> str:
    rows = [
        f"| {score.name} | {score.split} | {score.n:,} | {_number(score.value)} | {score.unit} | {signature} |"
        for score in scores
        for signature in [score.signature.replace("|", r"\|")]
    ]
    return "\n".join(
        ["## Scores", "", "| metric | split | n | value | scale | signature |", "|---|---|---|---|---|---|", *rows]
    )


def _costs(costs: Sequence[Cost]) -> str:
    rows = [f"| {cost.name} | {_number(cost.value)} | {cost.unit} | {cost.counts} |" for cost in costs]
    return _table("Costs", "cost | value | unit | what it counts", rows)


def _table(title: str, heads: str, rows: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", f"| {heads} |", "|---" * len(heads.split("|")) + "|", *rows])


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _limits(exported: Manifest, base: Base) -> str:
    found = [
        f"Texts are cut after {exported.task['max_length']} tokens." if exported.task["texts"] else "",
        "It gives one number a choice; the largest answers." if exported.task["kind"] == "multiple_choice" else "",
        "It was scored on the data named here alone; no bias or safety of its answers was measured.",
        "" if base.hub else "The checkpoint it began with is not on the hub, or not with the same weights.",
        "The checkpoint's license holds for this model, too.",
        "FLOPs of scattered zeros are saved by software that skips them; ordinary matrix products do not.",
    ]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in found if line)


def _portable(command: str) -> str:
    """Return the command without launch settings, and without the folders of its paths."""
    launch = {field.name for field in dataclasses.fields(Launch)}
    words = [
        word for word in shlex.split(command) if word.lstrip("+~").partition("=")[0].partition(".")[0] not in launch
    ]
    return shlex.join(_without_folders(word) for word in words)


def _without_folders(word: str) -> str:
    """Return a word of a command with the last name alone of each path that begins at a root, a home or here."""
    parts = re.split(r"""([=,\[\]{}'"]|: )""", word)
    return "".join(PurePath(part).name if re.match(r"[/~$]|\.{1,2}/", part) else part for part in parts)
