"""dsee-score: score any system's outputs on E2E, WebNLG or DART as their official tools do, without Perl or network.

Outputs on any other data are scored against files of references, as `text`.
"""

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
  dsee-score text --hypotheses summaries.txt --references gold.txt --metrics rouge1 rouge2 rougeL

scores:
  e2e      BLEU NIST METEOR ROUGE_L CIDEr, as e2e-metrics computes them (BLEU and NIST: mteval-v13a)
  webnlg   BLEU METEOR TER chrF++, as the 2017 challenge does; with the data's own references also
           of the seen and of the unseen categories (BLEU_seen, BLEU_unseen, ...)
  dart     BLEU METEOR TER chrF++, as DART's authors do
  text     of any data, with --references: E2E's, sacreBLEU TER chrF++ rouge1 rouge2 rougeL exact_match token_f1
METEOR 1.5 needs a java. Without one it is missing, with the reason, and METEOR_nltk is tried: another number, which
needs nltk's WordNet data.
"""


@until_the_reader_leaves
def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if the outputs were scored, even where a metric is missing, else 1 with the reason on stderr."""
    terminal.prepare([])
    arguments = parser().parse_args(argv)
    try:
        names = arguments.metrics or usual(arguments.data_set)
        nlg.check(arguments.data_set, names)
        parts = subsets_of(arguments)
        split = arguments.split
        scores = list(_reported(score for part in parts for score in part.scores(arguments.data_set, names, split)))
    except (ValueError, OSError) as error:
        print(f"dsee-score: {error}", file=sys.stderr)
        return 1
    n = len(parts[0].corpus)
    title = f"{arguments.data_set} {split}, n = {n}"
    signed = len(names)  # the signatures of the subsets repeat those of the whole
    print(as_json(scores, n) if arguments.json else as_table(scores, signed, title))
    return 0


def usual(data_set: nlg.Protocol) -> list[str]:
    """Return the default metrics: the official ones, with nltk's METEOR where there is no java for 1.5."""
    return [name for name in nlg.METRICS[data_set] if name != "METEOR_nltk" or find_java() is None]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = argparse.ArgumentParser(
        prog="dsee-score",
        description="Score outputs on E2E, WebNLG 2017 or DART v1.1.1 as the official tools do, or any other texts.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("data_set", choices=[name for name in get_args(nlg.Protocol) if name != "answer"])
    options.add_argument(
        "--hypotheses", type=argument_path, required=True, metavar="FILE",
        help="UTF-8: one line a context, in the order the split first shows them; or context TAB output, in any order",
    )  # fmt: skip
    options.add_argument(
        "--references", type=argument_path, nargs="+", metavar="FILE",
        help="one or several text files aligned with the hypotheses, taken as they are; an empty line is no reference",
    )  # fmt: skip
    options.add_argument(
        "--data-dir", type=argument_path, metavar="DIR",
        help="folder with the data set's published files, whose references are then prepared as its authors do "
        "(default: $DSEE_BENCH_DATA, else ./data if there is one, else the hub)",
    )  # fmt: skip
    options.add_argument("--split", choices=("test", "dev"), default="test", help="of the references (default: test)")
    options.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="only these, e.g. BLEU TER or METEOR_nltk (default: all official ones)",
    )
    options.add_argument("--version", action="version", version=terminal.version_text("dsee-score"))
    options.add_argument("--json", action="store_true", help='print {"scores": [...], "n": ...} with all digits')
    return options


def subsets_of(arguments: argparse.Namespace) -> tuple[Subset, ...]:
    """Return the outputs with their references, as the command line names them: all, then subsets of the data."""
    outputs = read_hypotheses(arguments.hypotheses)
    if arguments.data_set == "e2e":
        outputs = replace(outputs, texts=tuple(map(repaired, outputs.texts)))
    if not arguments.references:
        if arguments.data_set == "text":
            raise ValueError("text has no references of its own; give files of them by --references")
        examples, source = _read(arguments.data_set, _data_dir(arguments.data_dir), arguments.split)
        normalised = (lambda context: context_of(repaired(context))) if arguments.data_set == "e2e" else str.strip
        texts = aligned(outputs, [example.context for example in examples], normalised)
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
    """Return the examples of a split and their source; data of another size than published is noted on stderr."""
    from dsee_bench.config import option
    from dsee_bench.config.validate import build

    published = build(option("task", name), f"task={name}")
    task: DataToText = replace(published, counts=None)
    read = task.read(data_dir, split)
    examples = read.examples
    counts, expected = (len(examples), len(pairs(examples))), tuple(published.counts[split])
    if counts != expected:
        sizes = f"{counts[0]} contexts and {counts[1]} texts, as published there are {expected[0]} and {expected[1]}"
        print(f"dsee-score: note: this {split} split of {name} has {sizes}", file=sys.stderr)
    return examples, f"references:{name} {split}, {read.source}"


def _data_dir(option: Path | None) -> Path | None:
    if option is not None:
        return option
    if os.environ.get("DSEE_BENCH_DATA"):
        return shell_path(os.environ["DSEE_BENCH_DATA"], "DSEE_BENCH_DATA")
    return Path("data") if Path("data").is_dir() else None


def _reported(scores: Iterable[Score]) -> Iterator[Score]:
    """Yield `scores`, with the last name on a terminal: METEOR and TER take a while."""
    for number, score in enumerate(scores, start=1):
        if sys.stderr.isatty():
            print(f"{number} scored, {score.name} last", end="\r", file=sys.stderr)
        yield score


def as_json(scores: Sequence[Score], n: int) -> str:
    """Return one JSON object; a missing score (null) has its reason."""
    keys = ("name", "value", "unit", "signature", "reason")
    content = {"scores": [{key: getattr(score, key) for key in keys} for score in scores], "n": n}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def as_table(scores: Sequence[Score], signed: int, title: str) -> str:
    """Return name, value, unit and reason in columns, then the first `signed` signatures; a dash is a missing value."""
    width = max(len(score.name) for score in scores)
    lines = [title]
    for score in scores:
        digits = 2 if score.unit == "0-100" else 4
        value = "-" if score.value is None else f"{score.value:.{digits}f}"
        lines.append(f"{score.name:<{width}}  {value:>8}  {score.unit:<8}  {score.reason or ''}".rstrip())
    return "\n".join([*lines, "", *(f"{score.name:<{width}}  {score.signature}" for score in scores[:signed])])


if __name__ == "__main__":
    sys.exit(main())
