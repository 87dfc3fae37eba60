"""`dsee-bench push`: upload an exported model to a repository on the hub."""

import argparse
import sys
from collections.abc import Sequence

from dsee_bench.system import signals
from dsee_bench.system.errors import UserError
from dsee_bench.system.shell import argument_path

EXAMPLES = """\
examples:
  dsee-bench push exported/ me/rte-dsee
  dsee-bench push exported/ me/rte-dsee --private --revision v2 --message "trained on more rows"

The repository is created if it is not there. It needs a token that may write: `hf auth login`, or HF_TOKEN. A mirror is
set by HF_ENDPOINT=URL. Others load the model as its README.md says; dsee_bench.load reads what they download by
huggingface_hub.snapshot_download("OWNER/NAME", local_dir="DIR").
"""


def main(argv: Sequence[str]) -> int:
    """Push the export; return 0, or 1 if it cannot be pushed, and 130 if interrupted."""
    options = parser().parse_args(argv)
    signals.listen()
    try:
        print(_push(options))
    except (ValueError, OSError) as error:
        print(f"dsee-bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return signals.INTERRUPTED
    return 0


def _push(options: argparse.Namespace) -> str:
    if not options.folder.is_dir():
        raise UserError(f"there is no folder {options.folder}; give one that export=DIR wrote")
    from dsee_bench.runs.lifecycle import before_imports

    before_imports()
    from dsee_bench.deploy import manifest
    from dsee_bench.deploy.push import push

    exported = manifest.read(options.folder)
    return push(
        options.folder,
        options.repository,
        [*exported.files, manifest.NAME],
        private=options.private,
        revision=options.revision,
        message=options.message or f"dsee-bench: {exported.run_id or exported.task['name']}",
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dsee-bench push",
        description="Upload an exported model to the hub.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", metavar="DIR", type=argument_path, help="the folder of an export")
    add("repository", metavar="OWNER/NAME", help="where it goes")
    add("--private", action="store_true", help="create a private repository; a public one that is there is refused")
    add("--revision", metavar="BRANCH", help="a branch, created if need be; default: main")
    add("--message", metavar="TEXT", help="of the commit; default: the run's id")
    return parser
