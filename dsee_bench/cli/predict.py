"""`dsee-bench predict`: answers of a finished run or an exported model for rows without labels."""

import argparse
import sys
from collections.abc import Mapping, Sequence
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

The output has the columns of the input, "answer" and, for classes, "probability of NAME" for each class.
"""
FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".parquet")


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
        print("interrupted; nothing is written", file=sys.stderr)
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
    answers = _answers(options, rows)
    _write(
        [{**row.cells, **{name: column[at] for name, column in answers.items()}} for at, row in enumerate(rows)],
        options.output,
    )
    return len(rows)


def _answers(options: argparse.Namespace, rows: Sequence[Any]) -> dict[str, list[Any]]:
    from dsee_bench.deploy import manifest
    from dsee_bench.record import read
    from dsee_bench.report.records import find
    from dsee_bench.runs import predict

    if (Path(options.model) / manifest.NAME).exists():
        answering = predict.exported(Path(options.model), options.device)
        return predict.predict(answering, options.input, rows, _texts(options, answering.outputs))
    found = read(find(options.model, options.results))
    launch = {"results_dir": str(options.results), "data_dir": options.data_dir, "device": options.device}
    with predict.of_run(found, launch) as answering:
        return predict.predict(answering, options.input, rows, _texts(options, answering.outputs))


def _texts(options: argparse.Namespace, outputs: Mapping[str, Any]) -> tuple[str, ...]:
    if outputs["kind"] == "generation":
        raise UserError(f"{outputs['name']} writes texts; predict answers classes and numbers")
    texts = tuple(options.texts.split(",")) if options.texts else tuple(outputs["texts"])
    if not texts:
        raise UserError(f"the rows of {outputs['name']} were read from no columns; name those of the texts by --texts")
    return texts


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    import pandas as pd

    table = pd.DataFrame(rows)
    content: str | bytes
    match path.suffix:
        case ".csv" | ".tsv":
            content = table.to_csv(index=False, sep="," if path.suffix == ".csv" else "\t")
        case ".json" | ".jsonl":
            content = table.to_json(orient="records", lines=path.suffix == ".jsonl", force_ascii=False)
        case _:
            content = table.to_parquet(index=False)
    write_atomically(path, content)


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
