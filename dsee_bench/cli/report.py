"""dsee-report: tables, figures and overviews of the records. Each command imports only what it needs."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsee_bench.config import parse
from dsee_bench.config.launch import default_results_dir
from dsee_bench.config.shorthand import spelled_out
from dsee_bench.system import terminal
from dsee_bench.system.extras import require
from dsee_bench.system.shell import argument_path, as_in_a_shell, shell_path, until_the_reader_leaves, without_escapes

if TYPE_CHECKING:
    from dsee_bench.report.tables import Report


@until_the_reader_leaves
def main(argv: list[str] | None = None) -> int:
    """Run the console script and return its exit code. No command means `tables`."""
    arguments = sys.argv[1:] if argv is None else argv
    terminal.prepare(arguments)
    if "--version" in arguments:
        print(terminal.version_text("dsee-report"))
        return 0
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["tables", *arguments]
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:  # `dsee-report status | head`
        sys.stderr.close()
        return 0
    except (ValueError, OSError) as error:  # OSError: a folder that cannot be read or written
        _warn(str(error))
        return 1


def tables(options: argparse.Namespace) -> int:
    from dsee_bench.report import render
    from dsee_bench.system.files import write_atomically

    require("report", "dsee-report tables", "jinja2", "statsmodels")
    report = _report(options)
    for table in report.tables:
        texts = {"md": render.markdown, "tex": render.latex, "csv": render.csv, "html": render.document}
        path = options.results / "tables" / table.name
        for suffix, text in texts.items():
            write_atomically(path.with_name(f"{table.name}.{suffix}"), text(table))
        print(f"{render.markdown(table)}\nwritten: {path}.{{{','.join(texts)}}}\n")
    return 1 if report.refused else 0


def plots(options: argparse.Namespace) -> int:
    require("report", "dsee-report plots", "matplotlib", "statsmodels")
    from dsee_bench.record import path_of
    from dsee_bench.report.figures.plots import draw
    from dsee_bench.report.records import read_usable

    report = _report(options)
    for table in report.tables:
        for path in draw(table, lambda run: read_usable(path_of(run, options.results)), options.results / "plots"):
            print(path)
    return 1 if report.refused else 0


def page(options: argparse.Namespace) -> int:
    require("report", "dsee-report page", "jinja2", "itables", "statsmodels")
    from dsee_bench.report.claims import judge_all
    from dsee_bench.report.claims_text import html
    from dsee_bench.report.page.page import write

    report = _report(options)
    try:
        judged = html(judge_all([], options.results))
    except ValueError as error:  # a claim whose runs cannot be compared spares the rest
        _warn(str(error))
        judged = ""
    print(f"written: {write(report.records, report.tables, options.results, judged)}")
    return 1 if report.refused else 0


def atlas(options: argparse.Namespace) -> int:
    require("report", "dsee-report atlas", "matplotlib")
    from dsee_bench.deploy.atlas import slug
    from dsee_bench.report import atlas as made
    from dsee_bench.report.figures.atlas import draw_atlas
    from dsee_bench.report.records import read_all
    from dsee_bench.system.files import write_atomically

    rows = made.rows_of(options.results)
    folder = options.results / "atlas"
    for machine in dict.fromkeys(row["machine"] for row in rows):
        own = [row for row in rows if row["machine"] == machine]
        for path in draw_atlas(own, folder / f"break-even-{slug(machine)}"):
            print(path)
    page = folder / "atlas.md"
    write_atomically(page, made.page(rows, read_all(options.results).records))
    print(f"written: {page}")
    return 0


def claims(options: argparse.Namespace) -> int:
    import json

    from dsee_bench.report.claims import judge_all
    from dsee_bench.report.claims_text import as_json, fill_in, markdown

    judged = judge_all(options.names, options.results)
    if options.into is not None:
        fill_in(options.into, judged)
    print(json.dumps(as_json(judged), indent=1, ensure_ascii=False) if options.json else markdown(judged))
    return 1 if any(each.missing for each in judged) else 0


def status(options: argparse.Namespace) -> int:
    from dsee_bench.report.status import status_text, sweep_text

    words, results = _words(options)
    print(sweep_text(words, results) if words else status_text(results))
    return 0


def _words(options: argparse.Namespace) -> tuple[list[str], Path]:
    """The words of a sweep, and the results folder: that of `results_dir=` among them, or of --results."""
    words = [word for word in spelled_out(as_in_a_shell(options.words)) if word not in ("-m", "--multirun")]
    folders = [parse(word).value() for word in words if word.startswith("results_dir=")]
    return words, shell_path(without_escapes(folders[-1]), "results_dir") if folders else options.results


def search(options: argparse.Namespace) -> int:
    import json

    from dsee_bench.report.search import search as searched
    from dsee_bench.report.search_text import as_json, markdown

    words, results = _words(options)
    found = searched(words, results)
    print(json.dumps(as_json(found), indent=1) if options.json else markdown(found))
    if options.figure is not None:
        require("report", "dsee-report search --figure", "matplotlib")
        from dsee_bench.report.figures.search import draw_search

        draw_search(found, options.figure)
    return 1 if found.missing else 0


def show(options: argparse.Namespace) -> int:
    from dsee_bench.record import read
    from dsee_bench.report.records import find
    from dsee_bench.report.terminal import record_text

    print(record_text(read(find(options.run_id, options.results))))
    return 0


def masks(options: argparse.Namespace) -> int:
    from dsee_bench.report.records import find, read_usable
    from dsee_bench.report.terminal import sparsity_text

    print(sparsity_text(read_usable(find(options.run_id, options.results))))
    return 0


def compare(options: argparse.Namespace) -> int:
    from dsee_bench.report.compare import compare_text
    from dsee_bench.report.records import find, read_all, read_usable

    a, b = (read_usable(find(run, options.results)) for run in (options.a, options.b))
    usable = read_all(options.results)
    for reason in usable.left_out:
        _warn(reason)
    print(compare_text(a, b, options.results, usable.records, options.margin))
    return 0


def errors(options: argparse.Namespace) -> int:
    from dsee_bench.record import read
    from dsee_bench.report.errors import errors_text
    from dsee_bench.report.records import find

    record = read(find(options.run_id, options.results))
    print(errors_text(record, options.results, options.split, options.count, options.data_dir))
    return 0


def migrate(options: argparse.Namespace) -> int:
    from dsee_bench.runs.migrate import migrate as migrated

    renamed = list(migrated(options.results))
    print("\n".join(f"{old} -> {new}" for old, new in renamed))
    print(f"{len(renamed)} records carried over in {options.results / 'runs'}")
    return 0


def _report(options: argparse.Namespace) -> "Report":
    """The records and tables; what is left out, empty or refused is named on stderr."""
    from dsee_bench.report.tables import report

    result = report(options.results, getattr(options, "names", ()))
    for reason in (*result.left_out, *result.refused):
        _warn(reason)
    for name in result.empty:
        _warn(f"{name}: no finished run belongs in this table; left out")
    return result


def _count(text: str) -> int:
    """A number of rows from the command line: 0 or more. Else an error of ours: argparse's has this function's name."""
    with suppress(ValueError):
        if int(text) >= 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, got {text!r:.80}")


def _margin(text: str) -> float:
    """A margin from the command line: a number above 0."""
    with suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number of points above 0, got {text!r:.80}")


def _warn(text: str) -> None:
    print(f"dsee-report: {text}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    description = "Tables, figures and overviews of the runs that dsee-bench recorded. Without a command: tables."
    parser = argparse.ArgumentParser(prog="dsee-report", description=description)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, text: str, *examples: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog="\n  dsee-report ".join(["examples:", *examples]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        default = default_results_dir()
        command.add_argument(
            "--results", type=argument_path, default=default, metavar="DIR", help="default: %(default)s"
        )
        command.set_defaults(run=globals()[name])
        return command

    run: dict[str, Any] = {"metavar": "RUN", "help": "a run id or the start of one"}
    names: dict[str, Any] = {"nargs": "*", "metavar": "TABLE", "help": "only these; default: all in conf/table"}
    text = "write the tables of conf/table as Markdown, LaTeX, CSV and HTML to DIR/tables, and print them"
    add("tables", text, "tables", "tables glue --results ~/sweep/results").add_argument("names", **names)
    text = "draw the figures of conf/table as SVG and PNG to DIR/plots"
    add("plots", text, "plots", "plots sparsity_curve").add_argument("names", **names)
    text = "write DIR/page.html: all runs to sort, filter and open, the tables, and the figures that `plots` drew"
    add("page", text, "page", "page --results ~/sweep/results")
    text = "write DIR/atlas/atlas.md and its figures from what `dsee-bench atlas` measured: when sparsity pays"
    add("atlas", text, "atlas")
    text = "judge the claims of conf/claim: confirmed, refuted or undecided; exit code 1 where runs are missing"
    command = add("claims", text, "claims", "claims comparable_to_full_minilm --json", "claims --into README.md")
    command.add_argument("names", nargs="*", metavar="CLAIM", help="only these; default: all in conf/claim")
    command.add_argument("--json", action="store_true", help="print a JSON list")
    help_text = "write them as a table into a Markdown or .tex file, between <!-- claims --> and <!-- end of claims -->"
    command.add_argument("--into", type=argument_path, metavar="FILE", help=help_text)
    text = "list finished, running, interrupted, failed and missing runs, and the commands that resume them"
    sweep = ["status experiment=glue_small seed=0,1,2", "status -- --multirun task=rte,mrpc method=lora,dsee"]
    command = add("status", text, "status", *sweep)
    command.add_argument("words", nargs="*", metavar="OVERRIDE", help="a sweep, as after dsee-bench --multirun")
    text = "print the trials of a search on validation rows, the best of each method, and what is missing (exit code 1)"
    command = add("search", text, "search glue_search glue_search_full", "search glue_search --json --results ~/sweep")
    command.add_argument("words", nargs="+", metavar="EXPERIMENT", help="of conf/experiment; KEY=VALUE holds in all")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    help_text = "draw the expected best score by number of trials: .svg, .png or .pdf"
    command.add_argument("--figure", type=argument_path, metavar="FILE", help=help_text)
    text = "print one record: scores, costs, stages, settings, and how it was made"
    add("show", text, "show rte-minilm-dsee-s0-1a2b3c4d", "show rte-minilm-dsee-s0").add_argument("run_id", **run)
    text = "print where the zeros of a pruned run are: per cent by layer and weight"
    add("masks", text, "masks rte-minilm-dsee-s0").add_argument("run_id", **run)
    text = "print the wrong answers of a run that its model is most sure of, and what it takes for what"
    command = add(
        "errors", text, "errors rte-minilm-lora-s0 --data-dir data/glue", "errors rte-minilm-lora-s0 --count 50"
    )
    command.add_argument("run_id", **run)
    command.add_argument("--split", metavar="NAME", help="default: the first split that was answered")
    command.add_argument("--count", type=_count, default=20, metavar="N", help="answers to list; default: %(default)s")
    command.add_argument("--data-dir", metavar="DIR", help="the run's data_dir, to show the texts")
    text = "carry records of an earlier version (schema 1) over to this one: new names, the same values"
    add("migrate", text, "migrate", "migrate --results ~/sweep/results")
    text = "put two runs of one task side by side, and tell whether the difference is more than chance"
    command = add("compare", text, "compare rte-minilm-lora-s0 rte-minilm-dsee-s0-1a2b3c4d")
    command.add_argument("a", **run)
    command.add_argument("b", **run)
    help_text = "points up to which two methods count as equal; default: %(default)s"
    command.add_argument("--margin", type=_margin, default=1.0, metavar="POINTS", help=help_text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
