"""The answers of a run that are furthest from their references, and what is taken for what."""

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from dsee_bench import config, plan
from dsee_bench.record import Record
from dsee_bench.runs import answers

CLASSES = 12  # of a confusion table that fits a screen; of more, the pairs that are confused most are listed
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Ranking:
    """How the answers of one kind of task are put in order."""

    heading: str
    amount: Callable[[Row], float | None]  # how wrong an answer is; None: right
    shown: str = "{:.4f}"
    note: str = ""


def errors_text(record: Record, results_dir: Path, split: str | None, count: int, data_dir: str | None) -> str:
    """Return the `count` worst answers on `split`, and the confusion table; `split` None: the first that is not train.

    Texts are read again from the data set, and shown where they are those that were answered. ValueError where the
    answers are missing or damaged, or have no such split.
    """
    path = answers.path_of(record.run_id, results_dir)
    table = answers.read(path)
    if table is None:
        raise ValueError(
            f"{path} is missing or damaged, so the answers of {record.run_id} are not known; run it again with "
            f"force=true: {record.made_by.get('command', 'dsee-bench ...')} force=true"
        )
    kind, labels = answers.about(table)
    splits = list(dict.fromkeys(table["split"].to_pylist()))
    chosen = splits[0] if split is None else split
    if chosen not in splits:
        raise ValueError(f"{record.run_id} answered the splits {', '.join(splits)}; --split {split} is none of them")
    rows = [row for row in table.to_pylist() if row["split"] == chosen]
    ranking = RANKINGS[kind]
    wrong = sorted(
        ((amount, row) for row in rows if (amount := ranking.amount(row)) is not None),
        key=lambda pair: (-pair[0], pair[1]["row"]),
    )
    listed = wrong[:count]
    blocks = kind == "language_modeling"  # of tokens: they have no text of their own
    texts, why = ({}, None) if blocks else _texts(record, results_dir, data_dir, chosen, [row for _, row in listed])
    parts = [f"{record.run_id}, {chosen}: {_total(kind, rows, len(wrong))}"]
    if listed:
        parts.append(_listed(listed, ranking, texts))
    if kind in ("classification", "multiple_choice"):
        parts.append(confusion(rows, labels))
    if kind == "multi_label":
        parts.append(by_label(rows, labels))
    return "\n\n".join([*parts, *([why] if why else [])])


def confusion(rows: Sequence[Row], labels: Sequence[str]) -> str:
    """Return how often each reference (down) got each answer (across); of many classes the pairs confused most."""
    pairs = Counter((row["reference"], row["answer"]) for row in rows)
    names: Sequence[Any] = labels or sorted({name for pair in pairs for name in pair})
    if len(names) <= CLASSES:
        lines = [[reference, *(pairs[reference, answer] for answer in names)] for reference in names]
        return f"references down, answers across\n{_table(lines, ['', *map(str, names)])}"
    mixed = [(*pair, times) for pair, times in pairs.most_common() if pair[0] != pair[1]][: 2 * CLASSES]
    return f"confused most\n{_table(mixed, ['reference', 'answer', 'rows'])}" if mixed else "no class is confused"


def by_label(rows: Sequence[Row], labels: Sequence[str]) -> str:
    """Return for each label how often it was found, missed, and answered where it is not."""
    lines: list[tuple[str, int, int, int]] = []
    for label in labels:
        right, said = ([label in row[column] for row in rows] for column in ("reference", "answer"))
        both = sum(map(all, zip(right, said, strict=True)))
        lines.append((label, both, sum(right) - both, sum(said) - both))
    lines.sort(key=lambda line: -(line[2] + line[3]))
    return _table(lines, ["label", "found", "missed", "answered, but is not"])


def _table(lines: Sequence[Sequence[Any]], headings: Sequence[str]) -> str:
    return tabulate(lines, headers=headings, tablefmt="simple", disable_numparse=True)


def _total(kind: str, rows: Sequence[Row], wrong: int) -> str:
    if kind in ("regression", "language_modeling"):
        return f"{len(rows):,} answers"
    return f"{wrong:,} of {len(rows):,} answers are wrong ({wrong / len(rows):.1%})"


def _listed(wrong: Sequence[tuple[float, Row]], ranking: Ranking, texts: Mapping[int, str]) -> str:
    width = max(20, shutil.get_terminal_size((160, 24)).columns - 70)
    lines = []
    for amount, row in wrong:
        values = [_cut(_spelled(row[column]), 30) for column in ("answer", "reference")]
        lines.append([row["row"], ranking.shown.format(amount), *values, _cut(texts.get(row["row"], "–"), width)])
    headings = ["row", ranking.heading, "answer", "reference", "text"]
    return _table(lines, headings) + (f"\n{ranking.note}" if ranking.note else "")


def _spelled(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(_spelled, value)) if isinstance(value, list) else str(value)


def _cut(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _texts(
    record: Record, results_dir: Path, data_dir: str | None, split: str, rows: Sequence[Row]
) -> tuple[dict[int, str], str | None]:
    """Return the texts by the place of their row, and why some are missing."""
    launch = {"results_dir": str(results_dir), "data_dir": data_dir}
    try:
        settings = plan.read({**config.resolve(config.compose([])), **record.config, **launch})
        data = settings.load_data()
    except (ValueError, OSError) as error:
        return {}, f"texts are not shown, since the data cannot be read: {error}"
    if split not in data:
        return {}, f"texts are not shown, since the data at hand have no split {split}"
    examples = data[split].examples
    found = {}
    for row in rows:
        example = examples[row["row"]] if row["row"] < len(examples) else None
        if example is not None and answers.text_sha256(example) == row["text_sha256"]:
            found[row["row"]] = " | ".join(answers.texts_of(example))
    if len(found) < len(rows):
        return found, f"{len(rows) - len(found)} texts are not shown, since the data at hand have others in these rows"
    return found, None


def _sure(row: Row) -> float | None:
    """The probability of a wrong answer; where none is known, 1."""
    if row["answer"] == row["reference"]:
        return None
    return max(row["probabilities"]) if row.get("probabilities") else 1.0


def _labels_off(row: Row) -> float | None:
    return float(len(set(row["answer"]) ^ set(row["reference"]))) or None


def _words_off(row: Row) -> float | None:
    from dsee_bench.metrics.nlg.squad import f1_of

    if not row["reference"]:
        return None
    nearest = max(f1_of(row["answer"], reference) for reference in row["reference"])
    return 1 - nearest if nearest < 1 else None


def _loss_per_token(row: Row) -> float | None:
    """None for a block of one token, which predicts nothing."""
    return row["answer"] / row["reference"][0] if row["reference"][0] else None


RANKINGS = {
    "classification": Ranking("probability", _sure),
    "multiple_choice": Ranking("probability", _sure, note="answers and references are places of choices, from 0"),
    "multi_label": Ranking("labels off", _labels_off, "{:.0f}"),
    "regression": Ranking("off by", lambda row: abs(row["answer"] - row["reference"])),
    "generation": Ranking("1 - F1", _words_off, note="F1 of the words shared with the nearest reference"),
    "language_modeling": Ranking("loss", _loss_per_token, note="nats a token"),
}
