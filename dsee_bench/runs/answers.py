"""The answers of a run, a row each, in a parquet file of its work folder.

Columns: `split`; `row`, its place in the split from 0; `text_sha256`, of its texts as a JSON array in UTF-8; `answer`
and `reference`; `probabilities`, of each class, label or choice; `category`, where the data set has some. An answer is
a class's name, a list of the names of labels, a choice's place from 0, a number, or a text, whose reference is a list
of texts. A block of running text has its loss in nats and, as reference, its predicted tokens and their share of words.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsee_bench.system.files import make_room, write_atomically
from dsee_bench.tasks.example import Split, Task

if TYPE_CHECKING:
    import pyarrow as pa

    from dsee_bench.training.evaluate import Answers

FILE = "answers.parquet"
ABOUT = b"dsee-bench"  # the key of the file's metadata that names the kind and the classes


def path_of(run_id: str, results_dir: Path) -> Path:
    """Return the path of a run's answers."""
    return results_dir / "work" / run_id / FILE


def write(path: Path, task: Task, answered: "Sequence[Answers]", data: Mapping[str, Split[Any]]) -> None:
    """Write the answers on all splits; `data` has the examples that they answer."""
    import pyarrow as pa
    from pyarrow import parquet

    parts = [pa.table(_columns(task, answers, data[answers.split])) for answers in answered]
    table = pa.concat_tables(parts, promote_options="permissive")
    about = json.dumps({"kind": task.kind, "labels": list(task.labels)}).encode()
    file = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata({ABOUT: about}), file, write_page_checksum=True)
    make_room(path)
    write_atomically(path, file.getvalue())


def read(path: Path) -> "pa.Table | None":
    """Return the table that `write` made; None where there is no file, or a damaged one."""
    import pyarrow as pa
    from pyarrow import parquet

    if not path.is_file():
        return None
    try:
        table = parquet.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        return None
    return table if ABOUT in (table.schema.metadata or {}) else None


def about(table: "pa.Table") -> tuple[str, tuple[str, ...]]:
    """Return the kind of the task and its classes."""
    found = json.loads(table.schema.metadata[ABOUT])
    return found["kind"], tuple(found["labels"])


def of_split(path: Path, split: str) -> dict[str, list[Any]] | None:
    """Return columns of one split as the metrics take them: a class by its place, labels as a row of 0 and 1.

    The columns are answers, references and, where there are some, probabilities and categories. None where the answers
    are missing or damaged.
    """
    table = read(path)
    if table is None:
        return None
    kind, labels = about(table)
    rows = [row for row in table.to_pylist() if row["split"] == split]
    if not rows:
        return None
    names = {"answers": "answer", "references": "reference", "probabilities": "probabilities", "categories": "category"}
    columns = {name: [row[column] for row in rows] for name, column in names.items() if column in rows[0]}
    for name in ("answers", "references"):
        columns[name] = [_placed(value, kind, labels) for value in columns[name]]
    return columns


def text_sha256(example: Any) -> str:
    """Return the SHA-256 over the texts of an example as a JSON array in UTF-8."""
    return hashlib.sha256(json.dumps(texts_of(example), ensure_ascii=False).encode()).hexdigest()


def texts_of(example: Any) -> list[str]:
    """Return the texts that an example asks with; of a block of running text there is none."""
    if hasattr(example, "choices"):
        return [*dict.fromkeys(example.contexts), *example.choices]
    return list(example.texts) if hasattr(example, "texts") else [getattr(example, "context", "")]


def _columns(task: Task, answers: "Answers", split: Split[Any]) -> dict[str, Any]:
    count = len(answers.answers)
    optional = {"probabilities": answers.probabilities, "category": answers.categories}
    return {
        "split": [answers.split] * count,
        "row": list(range(count)),
        "text_sha256": [text_sha256(split.examples[row]) for row in range(count)],
        "answer": [_named(answer, task.kind, task.labels) for answer in answers.answers],
        "reference": [_named(reference, task.kind, task.labels) for reference in answers.references],
        **{name: list(values) for name, values in optional.items() if values is not None},
    }


def _named(value: Any, kind: str, labels: Sequence[str]) -> Any:
    if kind == "classification":
        return labels[int(value)]
    if kind == "multi_label":
        return [label for label, set_ in zip(labels, value, strict=True) if set_]
    return int(value) if kind == "multiple_choice" else value


def _placed(value: Any, kind: str, labels: Sequence[str]) -> Any:
    if kind == "classification":
        return labels.index(value)
    if kind == "multi_label":
        return [int(label in value) for label in labels]
    return value
