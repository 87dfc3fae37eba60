"""`dsee-bench predict`: answers of a finished run or an exported model for rows without labels."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dsee_bench.config.launch import default_results_dir
from dsee_bench.monitoring import console
from dsee_bench.system import signals
from dsee_bench.system.errors import UserError
from dsee_bench.system.files import check_file, write_atomically
from dsee_bench.system.shell import argument_path

EXAMPLES = """\
examples:
  dsee-bench predict rte-minilm-dsee-s0-1a2b3c4d --input new.csv --output answers.csv --data-dir data/glue
  dsee-bench predict exported/ --input reviews.jsonl --output answers.jsonl --texts review

The output has the columns of the input, "answer" and, for classes, "probability of NAME" for each class. Of several
labels "answer" lists those above the threshold (joined by commas in CSV and TSV); of multiple choice it is the label of
the choice, whose text is "choice", and "probability of choice N" is that of the N-th. Texts are
written by the run's own prompt and search; --texts then names a column that holds the prompts themselves.
"""
FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
STREAMED = (".csv", ".tsv", ".jsonl")  # written as answers come


def main(argv: Sequence[str]) -> int:
    """Answer the rows; return 0, or 1 if they cannot be answered, and 130 if interrupted."""
    options = parser().parse_args(argv)
    signals.listen()
    try:
        _check_output(options.output, force=options.force)
        with console.printing():
            count = _predict(options)
    except (ValueError, OSError) as error:
        print(f"dsee-bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; answers so far, if any, are in the file of that name with .part after it", file=sys.stderr)
        return signals.INTERRUPTED
    print(f"{count} answers: {options.output}")
    return 0


def _check_output(path: Path, *, force: bool) -> None:
    if path.suffix not in FORMATS:
        raise UserError(f"--output {path} ends in {path.suffix!r}; the formats are {', '.join(FORMATS)}")
    if path.exists() and not force:
        raise UserError(f"--output {path} exists; name another file, or replace it by --force")
    check_file(path)


def _predict(options: argparse.Namespace) -> int:
    from dsee_bench.runs.lifecycle import before_imports

    before_imports()
    from dsee_bench.tasks.rows import read_rows

    rows = list(read_rows(options.input, None, "error"))
    if not rows:
        raise UserError(f"--input {options.input} holds no row")
    output = Output(options.output, [row.cells for row in rows])
    for answers in _answers(options, rows):
        output.add(answers)
    output.finish()
    return len(rows)


def _answers(options: argparse.Namespace, rows: Sequence[Any]) -> Iterator[Mapping[str, Sequence[Any]]]:
    """Yield the columns of the answers, some rows at a time."""
    from dsee_bench.deploy import manifest
    from dsee_bench.record import read
    from dsee_bench.report.records import find
    from dsee_bench.runs import predict

    if (Path(options.model) / manifest.NAME).exists():
        yield from _of(options, rows, predict.exported(Path(options.model), options.device))
        return
    found = read(find(options.model, options.results))
    launch = {"results_dir": str(options.results), "data_dir": options.data_dir, "device": options.device}
    with predict.of_run(found, launch) as answering:
        yield from _of(options, rows, answering)


def _of(options: argparse.Namespace, rows: Sequence[Any], answering: Any) -> Iterator[Mapping[str, Sequence[Any]]]:
    from dsee_bench.runs import predict

    outputs = answering.outputs
    if outputs["kind"] == "language_modeling":
        raise UserError(f"{outputs['name']} reads running text and answers nothing; its run has the perplexity")
    if outputs["kind"] == "generation":
        yield from predict.written(answering, options.input, rows, options.texts)
    else:
        yield predict.predict(answering, options.input, rows, _texts(options, outputs))


def _texts(options: argparse.Namespace, outputs: Mapping[str, Any]) -> tuple[str, ...]:
    texts = tuple(options.texts.split(",")) if options.texts else tuple(outputs["texts"])
    if not texts:
        raise UserError(f"the rows of {outputs['name']} were read from no columns; name those of the texts by --texts")
    return texts


class Output:
    """The file of answers: it has the input's columns and theirs.

    CSV, TSV and JSON lines are written as answers come, to `FILE.part`, which gets the file's name at the end.
    """

    def __init__(self, path: Path, cells: Sequence[Mapping[str, Any]]) -> None:
        import pandas as pd

        self._path, self._part = path, path.with_name(f"{path.name}.part")
        self._input = pd.DataFrame(list(cells))
        self._done: list[Any] = []  # tables
        self.rows = 0

    def add(self, answers: Mapping[str, Sequence[Any]]) -> None:
        """Write the answers of the next rows."""
        count = len(next(iter(answers.values())))
        table = self._input.iloc[self.rows : self.rows + count].reset_index(drop=True)
        table = table.assign(**{name: self._cells(column) for name, column in answers.items()})
        if self._path.suffix in STREAMED:
            with self._part.open("a" if self.rows else "w", encoding="utf-8", newline="") as file:
                file.write(self._text(table, first=not self.rows))
        else:
            self._done.append(table)
        self.rows += count

    def _cells(self, column: Sequence[Any]) -> list[Any]:
        """Return the cells of a column; CSV and TSV have no lists, so the labels of a row are joined there."""
        flat = self._path.suffix in (".csv", ".tsv")
        return [",".join(cell) if flat and isinstance(cell, list) else cell for cell in column]

    def finish(self) -> None:
        """Give the file its name, with all answers in it."""
        import pandas as pd

        if self._path.suffix in STREAMED:
            self._part.replace(self._path)
            return
        table = pd.concat(self._done, ignore_index=True)
        if self._path.suffix == ".json":
            write_atomically(self._path, table.to_json(orient="records", force_ascii=False))
        else:
            write_atomically(self._path, table.to_parquet(index=False))

    def _text(self, table: Any, *, first: bool) -> str:
        if self._path.suffix == ".jsonl":
            return str(table.to_json(orient="records", lines=True, force_ascii=False))
        return str(table.to_csv(index=False, header=first, sep="," if self._path.suffix == ".csv" else "\t"))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dsee-bench predict",
        description="Answer rows without labels with a finished run or an exported model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="RUN|DIR", help="a run id or the start of one, or the folder of an export")
    add("--input", required=True, type=argument_path, metavar="FILE", help=f"rows: {', '.join(FORMATS)}, also .gz")
    add("--output", required=True, type=argument_path, metavar="FILE", help="one of the same formats")
    add("--texts", metavar="A[,B]", help="the columns of the texts; default: those of the run's task")
    add("--results", type=argument_path, default=default_results_dir(), metavar="DIR", help="default: %(default)s")
    add("--data-dir", metavar="DIR", help="the run's data_dir; an export needs none")
    add("--device", choices=("auto", "cpu"), default="auto")
    add("--force", action="store_true", help="replace the output file")
    return parser
