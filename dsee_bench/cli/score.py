"""dsee-score: score any system's outputs on E2E, WebNLG or DART as their official tools do, without Perl or network."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from dsee_bench.metrics import nlg
from dsee_bench.metrics.nlg.meteor import find_java
from dsee_bench.record import Score
from dsee_bench.system import terminal
from dsee_bench.system.shell import argument_path, shell_path, until_the_reader_leaves
from dsee_bench.tasks.e2e import context_of
from dsee_bench.tasks.generation import DataToText, Generation, pairs
from dsee_bench.tasks.hypotheses import aligned, read_hypotheses, read_texts, repaired
from dsee_bench.tasks.scoring import Subset, subsets

EXAMPLES = """\
examples:
  dsee-score e2e --hypotheses out.txt --data-dir data/e2e
  dsee-score e2e --hypotheses system.tsv --data-dir data/e2e --json
  dsee-score webnlg --hypotheses team.txt --data-dir data/webnlg --metrics BLEU TER
  dsee-score webnlg --hypotheses team.txt --references ref0.lex ref1.lex ref2.lex

scores:
  e2e      BLEU NIST METEOR ROUGE_L CIDEr, as e2e-metrics computes them (BLEU and NIST: mteval-v13a)
  webnlg   BLEU METEOR TER chrF++, as the 2017 challenge does; with the data's own references also
           of the seen and of the unseen categories (BLEU_seen, BLEU_unseen, ...)
  dart     BLEU METEOR TER chrF++, as DART's authors do
METEOR 1.5 needs a java. Where there is none it is given as missing, with the reason, and METEOR_nltk is tried:
another number, which needs nltk's WordNet data.
"""


@until_the_reader_leaves
def main(argv: Sequence[str] | None = None) -> int:
    """0 if the outputs were scored, even where a metric is missing; 1 if they could not be, and stderr says why."""
    terminal.prepare([])
    arguments = parser().parse_args(argv)
    try:
        names = arguments.metrics or usual(arguments.data_set)
        nlg.check(arguments.data_set, names)
        chosen = subsets_of(arguments)
        split = arguments.split
        scores = list(_told(one for subset in chosen for one in subset.scores(arguments.data_set, names, split)))
    except (ValueError, OSError) as error:
        print(f"dsee-score: {error}", file=sys.stderr)
        return 1
    n = len(chosen[0].corpus)
    signed = len(names)  # the subsets' signatures repeat those of the whole
    title = f"{arguments.data_set} {split}, n = {n}"
    print(as_json(scores, n) if arguments.json else as_table(scores, signed, title))
    return 0


def usual(data_set: nlg.Protocol) -> list[str]:
    """The metrics scored unless others are asked for: the official ones, nltk's METEOR where 1.5 cannot run."""
    return [name for name in nlg.METRICS[data_set] if name != "METEOR_nltk" or find_java() is None]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="dsee-score",
        description="Score a system's outputs on E2E, WebNLG 2017 or DART v1.1.1 as the official tools do.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("data_set", choices=get_args(nlg.Protocol))
    made.add_argument(
        "--hypotheses", type=argument_path, required=True, metavar="FILE",
        help="UTF-8: one line a context, in the order the split first shows them; or context TAB output, in any order",
    )  # fmt: skip
    made.add_argument(
        "--references", type=argument_path, nargs="+", metavar="FILE",
        help="one or several text files aligned with the hypotheses, taken as they are; an empty line is no reference",
    )  # fmt: skip
    made.add_argument(
        "--data-dir", type=argument_path, metavar="DIR",
        help="folder with the data set's published files, whose references are then prepared as its authors do "
        "(default: $DSEE_BENCH_DATA, else ./data if there is one, else the hub)",
    )  # fmt: skip
    made.add_argument("--split", choices=("test", "dev"), default="test", help="whose references (default: test)")
    made.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="only these, e.g. BLEU TER or METEOR_nltk (default: all official ones)",
    )
    made.add_argument("--version", action="version", version=terminal.version_text("dsee-score"))
    made.add_argument("--json", action="store_true", help='print {"scores": [...], "n": ...} with all digits')
    return made


def subsets_of(arguments: argparse.Namespace) -> tuple[Subset, ...]:
    """The outputs beside the references that the command line names."""
    outputs = read_hypotheses(arguments.hypotheses)
    if arguments.data_set == "e2e":
        outputs = replace(outputs, texts=tuple(map(repaired, outputs.texts)))
    if not arguments.references:
        examples, source = _read(arguments.data_set, _data_dir(arguments.data_dir), arguments.split)
        normal = (lambda context: context_of(repaired(context))) if arguments.data_set == "e2e" else str.strip
        texts = aligned(outputs, [example.context for example in examples], normal)
        return subsets(arguments.data_set, examples, texts, source=source)
    columns = [read_texts(path) for path in arguments.references]
    for path, column in zip(arguments.references, columns, strict=True):
        if len(column) != len(outputs.texts):
            raise ValueError(
                f"{outputs.path} has {len(outputs.texts)} outputs, {path} has {len(column)} lines; "
                f"line n of each must belong to the same context"
            )
    source = f"references:{'+'.join(path.name for path in arguments.references)}"
    return (Subset("", nlg.corpus_from_files(outputs.texts, columns, source=source)),)


def _read(name: str, data_dir: Path | None, split: str) -> tuple[Sequence[Generation], str]:
    """The examples of a split and where they are from. Data of another size than published is allowed, and said."""
    from dsee_bench.config import option
    from dsee_bench.config.validate import build

    published = build(option("task", name), f"task={name}")
    task: DataToText = replace(published, counts=None)
    read = task.read(data_dir, split)
    examples = read.examples
    found, expected = (len(examples), len(pairs(examples))), tuple(published.counts[split])
    if found != expected:
        told = f"{found[0]} contexts and {found[1]} texts, as published there are {expected[0]} and {expected[1]}"
        print(f"dsee-score: note: this {split} split of {name} has {told}", file=sys.stderr)
    return examples, f"references:{name} {split}, {read.source}"


def _data_dir(given: Path | None) -> Path | None:
    if given is not None:
        return given
    if os.environ.get("DSEE_BENCH_DATA"):
        return shell_path(os.environ["DSEE_BENCH_DATA"], "DSEE_BENCH_DATA")
    return Path("data") if Path("data").is_dir() else None


def _told(scores: Iterable[Score]) -> Iterator[Score]:
    """`scores` as they come, each named on a terminal: METEOR and TER take a while."""
    for number, score in enumerate(scores, start=1):
        if sys.stderr.isatty():
            print(f"{number} scored, {score.name} last", end="\r", file=sys.stderr)
        yield score


def as_json(scores: Sequence[Score], n: int) -> str:
    """One JSON object; a score that is missing (null), or 0 for a reason of its own, says why."""
    keys = ("name", "value", "unit", "signature", "reason")
    content = {"scores": [{key: getattr(score, key) for key in keys} for score in scores], "n": n}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def as_table(scores: Sequence[Score], signed: int, title: str) -> str:
    """Name, value and unit in columns; a dash where there is no value; the reason; the first `signed` signatures."""
    width = max(len(score.name) for score in scores)
    lines = [title]
    for score in scores:
        digits = 2 if score.unit == "0-100" else 4
        value = "-" if score.value is None else f"{score.value:.{digits}f}"
        lines.append(f"{score.name:<{width}}  {value:>8}  {score.unit:<8}  {score.reason or ''}".rstrip())
    return "\n".join([*lines, "", *(f"{score.name:<{width}}  {score.signature}" for score in scores[:signed])])


if __name__ == "__main__":
    sys.exit(main())
