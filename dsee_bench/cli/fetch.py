"""`dsee-bench fetch`: download the weights and data of a run or a sweep, for nodes without network."""

import argparse
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from dsee_bench import config, hub
from dsee_bench.config import flags, shorthand, validate
from dsee_bench.hub import HubFiles
from dsee_bench.models import load
from dsee_bench.models.backbone import Backbone
from dsee_bench.monitoring import console
from dsee_bench.runs import sweep
from dsee_bench.system import signals
from dsee_bench.system.checksum import stated_checksum
from dsee_bench.system.shell import as_in_a_shell, shell_path
from dsee_bench.tasks.example import Task

DECIDES = ("experiment", "backbone", "task", "data_dir")  # settings that decide what is fetched
EXAMPLES = """\
examples:
  dsee-bench fetch backbone=bert-base task=rte,sst2
  dsee-bench fetch experiment=glue_small                    every backbone and task of the experiment's sweep
  dsee-bench fetch experiment=glue_small data_dir=data/glue   weights alone; the data lie in a folder

The files go to the hub's cache (HF_HUB_CACHE, or HF_HOME) and are compared with their checksums. A node that sees the
same cache then runs with HF_HUB_OFFLINE=1; there, fetch says what is missing. A mirror is set by HF_ENDPOINT=URL.
"""


@dataclass(frozen=True)
class Source:
    """Where the weights of a backbone or the rows of a task come from."""

    name: str
    what: str
    remote: HubFiles | None  # None: not from the hub
    otherwise: str  # where they come from then


def main(argv: Sequence[str]) -> int:
    """Run `dsee-bench fetch` with these words; return the exit code: 1 if something could not be fetched."""
    parser = argparse.ArgumentParser(
        prog="dsee-bench fetch",
        description="Download what a run or a sweep needs from the hub: weights, tokenizers, data sets.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="group=option | key=value", help="as for a run or a sweep")
    parser.add_argument("-m", "--multirun", action="store_true", help="changes nothing: a sweep is always followed")
    signals.listen()
    try:
        words = parser.parse_args(flags.take_config_dir(argv)).overrides
        with console.printing():
            return fetch(sources(shorthand.spelled_out(as_in_a_shell(words))))
    except ValueError as error:
        print(f"dsee-bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on after the last whole file", file=sys.stderr)
        return 130


def sources(words: Sequence[str]) -> list[Source]:
    """Return every backbone and task of `dsee-bench --multirun <words>` once; ConfigError for a wrong setting."""
    checked, params = sweep.check(words)
    sweep.product(checked, params)  # refuses what a run would, also in settings that do not decide what is fetched
    deciding = [word for word in checked if _decides(config.parse(word).key_or_group)]
    cells = sweep.product(deciding, {key: value for key, value in params.items() if _decides(key)})
    return list(dict.fromkeys(source for cell in cells for source in _of_run(cell.overrides)))


def _decides(key: str) -> bool:
    return key.split(".")[0] in DECIDES


def _of_run(overrides: Sequence[str]) -> Iterator[Source]:
    resolved = sweep.resolved(overrides)
    backbone: Backbone = validate.build(resolved["backbone"], "backbone")
    task: Task = validate.build(resolved["task"], "task")
    yield Source(backbone.name, "weights", load.hub_files(backbone), _weights_otherwise(backbone))
    data_dir = resolved["data_dir"]
    data = task.hub_files(shell_path(data_dir, "data_dir") if data_dir is not None else None)
    yield Source(task.name, "data", data, f"the folder {data_dir}" if data_dir is not None else "made in code")


def _weights_otherwise(backbone: Backbone) -> str:
    if backbone.random:
        return "random weights"
    return f"the folder {backbone.path}" if backbone.path is not None else f"the package {backbone.package}"


def fetch(needed: Sequence[Source]) -> int:
    """Fetch the sources in turn and print a table; one that is missing does not stop the others."""
    from huggingface_hub.constants import HF_HUB_CACHE

    probe = functools.cache(hub.why_unreachable)  # asked once, not once a source
    rows, reasons = [], []
    for source in needed:
        try:
            rows.append((source.name, source.what, *_fetched(source, probe)))
        except (ValueError, OSError) as error:
            rows.append((source.name, source.what, str(source.remote), None, None, "MISSING"))
            reasons.append(f"{source.name}: {error}")
    headers = ["", "", "from", "files", "MB", ""]
    print(tabulate(rows, headers=headers, tablefmt="simple", missingval="-", floatfmt=",.1f"), end="\n\n")
    for reason in reasons:
        print(reason, file=sys.stderr)
    if reasons:
        print(f"{len(reasons)} of {len(needed)} could not be fetched", file=sys.stderr)
        return 1
    print(
        f"Everything is there; the cache is {HF_HUB_CACHE}. Runs with HF_HUB_OFFLINE=1 and this cache need no network."
    )
    return 0


def _fetched(source: Source, probe: Callable[[], str | None]) -> tuple[str, int | None, float | None, str]:
    """Return where the files came from, how many, how many MB, and what was done."""
    remote = source.remote
    if remote is None or remote.local_copy is not None:
        return source.otherwise if remote is None else f"the folder {remote.local_copy}", None, None, "nothing to fetch"
    before = hub.cached(remote)
    folder = hub.get(remote, probe)
    files = hub.paths(remote, folder)
    unknown = sum(stated_checksum(path) is None for path in files)
    done = "there already" if before == folder else "fetched"
    checked = f"{unknown} without a checksum" if unknown else "verified"
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    return f"{remote.repo}@{folder.name[:12]}", len(files), megabytes, f"{done}, {checked}"
