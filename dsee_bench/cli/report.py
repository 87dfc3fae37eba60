"""dsee-report: what the records say. Each sub-command loads what it needs only, so that `status` answers at once."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from dsee_bench.config import default_results_dir, parse
from dsee_bench.system import terminal
from dsee_bench.system.extras import require
from dsee_bench.system.shell import (
    argument_path,
    as_in_a_shell,
    shell_path,
    until_the_reader_leaves,
    without_escapes,
)

if TYPE_CHECKING:
    from dsee_bench.report.collect import Collected


@until_the_reader_leaves
def main(argv: list[str] | None = None) -> int:
    """The console script; returns the exit code. No sub-command means `tables`."""
    given = sys.argv[1:] if argv is None else argv
    terminal.prepare(given)
    if "--version" in given:
        print(terminal.version_text("dsee-report"))
        return 0
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given = ["tables", *given]
    options = _parser().parse_args(given)
    try:
        return int(options.run(options))
    except ValueError as error:
        _say(str(error))
        return 1
    except BrokenPipeError:  # `dsee-report status | head`
        sys.stderr.close()
        return 0
    except OSError as error:  # a folder that cannot be read or written
        _say(str(error))
        return 1


def tables(options: argparse.Namespace) -> int:
    from dsee_bench.record import write_atomically
    from dsee_bench.report import render

    require("report", "dsee-report tables", "jinja2")
    found = _collect(options)
    for table in found.tables:
        texts = {"md": render.markdown, "tex": render.latex, "csv": render.csv, "html": render.document}
        path = options.results / "tables" / table.name
        for suffix, text in texts.items():
            write_atomically(path.with_name(f"{table.name}.{suffix}"), text(table))
        print(f"{render.markdown(table)}\nwritten: {path}.{{{','.join(texts)}}}\n")
    return 1 if found.refused else 0


def plots(options: argparse.Namespace) -> int:
    require("report", "dsee-report plots", "matplotlib")
    from dsee_bench.report.figures.plots import draw

    found = _collect(options)
    for table in found.tables:
        for path in draw(table, found.records, options.results / "plots"):
            print(path)
    return 1 if found.refused else 0


def page(options: argparse.Namespace) -> int:
    require("report", "dsee-report page", "jinja2", "itables")
    from dsee_bench.record import write_atomically
    from dsee_bench.report.page import page as page_of

    found = _collect(options)
    path = options.results / "page.html"
    write_atomically(path, page_of(found.records, found.tables, options.results / "plots"))
    print(f"written: {path}")
    return 1 if found.refused else 0


def status(options: argparse.Namespace) -> int:
    from dsee_bench.report.status import status_text, sweep_text

    words = [word for word in as_in_a_shell(options.words) if word not in ("-m", "--multirun")]
    given = [parse(word).value() for word in words if word.startswith("results_dir=")]
    results = shell_path(without_escapes(given[-1]), "results_dir") if given else options.results
    print(sweep_text(words, results) if words else status_text(results))
    return 0


def show(options: argparse.Namespace) -> int:
    from dsee_bench.record import read
    from dsee_bench.report.find import path_of
    from dsee_bench.report.terminal import show_text

    print(show_text(read(path_of(options.run_id, options.results))))
    return 0


def masks(options: argparse.Namespace) -> int:
    from dsee_bench.report.figures.targets import masks_text
    from dsee_bench.report.find import checked, path_of

    print(masks_text(checked(path_of(options.run_id, options.results))))
    return 0


def compare(options: argparse.Namespace) -> int:
    from dsee_bench.report.compare import compare_text
    from dsee_bench.report.find import checked, path_of, records

    two = [checked(path_of(run, options.results)) for run in (options.a, options.b)]
    among = records(options.results)
    for reason in among.left_out:
        _say(reason)
    print(compare_text(two[0], two[1], options.results, among.records))
    return 0


def migrate(options: argparse.Namespace) -> int:
    from dsee_bench.runs.migrate import migrate as migrated

    renamed = list(migrated(options.results))
    print("\n".join(f"{old} -> {new}" for old, new in renamed))
    print(f"{len(renamed)} records carried over in {options.results / 'runs'}")
    return 0


def _collect(options: argparse.Namespace) -> "Collected":
    """The records and tables, with what is wrong said on stderr."""
    from dsee_bench.report.collect import collect

    found = collect(options.results, getattr(options, "names", ()))
    for reason in (*found.left_out, *found.refused):
        _say(reason)
    for name in found.empty:
        _say(f"{name}: no finished run belongs in this table; left out")
    return found


def _say(text: str) -> None:
    print(f"dsee-report: {text}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    what = "Tables, figures and overviews of the runs that dsee-bench recorded. Without a command: tables."
    parser = argparse.ArgumentParser(prog="dsee-report", description=what)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, what: str, *examples: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=what,
            description=what,
            epilog="\n  dsee-report ".join(["examples:", *examples]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        default = default_results_dir()
        command.add_argument(
            "--results", type=argument_path, default=default, metavar="DIR", help="default: %(default)s"
        )
        command.set_defaults(run=globals()[name])
        return command

    a_run: dict[str, Any] = {"metavar": "RUN", "help": "a run id or the start of one"}
    some: dict[str, Any] = {"nargs": "*", "metavar": "TABLE", "help": "only these; default: all in conf/table"}
    what = "write the tables of conf/table as Markdown, LaTeX, CSV and HTML to DIR/tables, and print them"
    add("tables", what, "tables", "tables glue --results ~/sweep/results").add_argument("names", **some)
    what = "draw the figures of conf/table as SVG and PNG to DIR/plots"
    add("plots", what, "plots", "plots sparsity_curve").add_argument("names", **some)
    what = "write DIR/page.html: all runs to sort, filter and open, the tables, and the figures that `plots` drew"
    add("page", what, "page", "page --results ~/sweep/results")
    what = "list finished, running, interrupted, failed and missing runs, and the commands that resume them"
    sweep = ["status experiment=glue_small seed=0,1,2", "status -- --multirun task=rte,mrpc method=lora,dsee"]
    of_all = add("status", what, "status", *sweep)
    of_all.add_argument("words", nargs="*", metavar="OVERRIDE", help="a sweep, as after dsee-bench --multirun")
    what = "print one record: scores, costs, stages, settings, and how it was made"
    add("show", what, "show rte-minilm-dsee-s0-1a2b3c4d", "show rte-minilm-dsee-s0").add_argument("run_id", **a_run)
    what = "print where the zeros of a pruned run are: per cent by layer and weight"
    add("masks", what, "masks rte-minilm-dsee-s0").add_argument("run_id", **a_run)
    what = "carry records of an earlier version (schema 1) over to this one: new names, the same values"
    add("migrate", what, "migrate", "migrate --results ~/sweep/results")
    what = "put two runs of one task side by side, and tell whether the difference is more than chance"
    two = add("compare", what, "compare rte-minilm-lora-s0 rte-minilm-dsee-s0-1a2b3c4d")
    two.add_argument("a", **a_run)
    two.add_argument("b", **a_run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
