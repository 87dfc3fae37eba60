"""Claims and their verdicts as Markdown, JSON and HTML."""

import html as html_text
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from dsee_bench.report.claims import Judged, Side, Verdict
from dsee_bench.report.statistics import CONFIDENCE, SIGNIFICANT
from dsee_bench.system.files import write_atomically

RULE = (
    f"A score or time is confirmed or refuted where both the {CONFIDENCE:.0%} interval over tasks and seeds (bootstrap "
    f"of the seeds within each task) and one-sided t-tests (p < {SIGNIFICANT}) say so; a count, where every run says "
    "so. Everything else is undecided, which is not the same as wrong."
)
OPTIMISTIC = 'Scores "best dev" are optimistic: their checkpoints were chosen on the rows that are reported.'
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
HEADS = ("Verdict", "Claim", "Source", "A - B, points", "Records")
BEGINS, ENDS = "<!-- claims -->", "<!-- end of claims -->"  # what `fill_in` writes between
EXACTLY = {"higher": "A - B above {margin}", "not_lower": "A - B above -{margin}", "equal": "A - B within ±{margin}"}


def markdown(judged: Sequence[Judged]) -> str:
    """Return a paragraph a claim: its verdict, the sentence, the numbers, the records, and what is missing."""
    return "\n\n".join(["# Claims", *map(_paragraph, judged), *_rules(judged)])


def _rules(judged: Sequence[Judged]) -> list[str]:
    return [RULE, *([OPTIMISTIC] if any(each.checkpoint == "best dev" for each in judged) else [])]


def summary(judged: Sequence[Judged]) -> str:
    """Return a Markdown table with a row a claim, decided ones first, and the rules of the verdicts below it."""
    rows = [HEADS, ["---"] * len(HEADS), *_rows(judged)]
    lines = (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
    return "\n\n".join(["\n".join(lines), *_rules(judged)])


def latex(judged: Sequence[Judged]) -> str:
    """Return the same as a LaTeX table that may go over pages (packages longtable, booktabs)."""
    from dsee_bench.report.render import escape_latex

    head, *lines = (f"{' & '.join(map(escape_latex, row))} \\\\" for row in (HEADS, *_rows(judged)))
    return "\n".join(
        [
            r"\begin{longtable}{p{.1\linewidth}p{.3\linewidth}p{.19\linewidth}p{.2\linewidth}p{.1\linewidth}}",
            rf"\toprule {head} \midrule \endhead",
            *lines,
            r"\bottomrule",
            r"\end{longtable}",
            *(rf"\par\noindent {{\footnotesize {escape_latex(rule)}}}" for rule in _rules(judged)),
        ]
    )


def _rows(judged: Sequence[Judged]) -> list[list[str]]:
    ordered = sorted(judged, key=lambda each: (VERDICTS.index(each.verdict), not each.run_ids))
    return [list(_cells(each)) for each in ordered]


def fill_in(path: Path, judged: Sequence[Judged]) -> None:
    """Write the summary between the two marks of a Markdown file, or of a LaTeX one (.tex), where they are comments.

    ValueError where the file has not each of them once.
    """
    before, begins, rest = (text := path.read_text(encoding="utf-8")).partition(BEGINS)
    _, ends, after = rest.partition(ENDS)
    if not begins or not ends or len(re.findall(f"{BEGINS}|{ENDS}", text)) != 2:
        raise ValueError(
            f"{path} has no place for the claims: put the lines {BEGINS} and {ENDS} where they belong, once"
        )
    between = f"\n{latex(judged)}\n% " if path.suffix == ".tex" else f"\n\n{summary(judged)}\n\n"
    write_atomically(path, f"{before}{BEGINS}{between}{ENDS}{after}")


def _paragraph(judged: Judged) -> str:
    claim = judged.claim
    lines = [f"## {judged.name}: {judged.verdict}", "", f"{claim.sentence} *({claim.source})*", ""]
    return "\n".join([*lines, *(f"- {line}" for line in _facts(judged)), *_missing(judged)])


def _facts(judged: Judged) -> Iterator[str]:
    """Yield what is compared, how large the difference is, and what it rests on."""
    claim = judged.claim
    b = f"{claim.number:g}" if claim.b is None else _side(claim.b, claim.measure)
    holds = EXACTLY[claim.holds].format(margin=f"{claim.margin:g}")
    yield f"A: {_side(claim.a, claim.measure)}; B: {b}; true if {holds} points"
    if judged.difference is not None:
        yield _numbers(judged)
        if len(judged.difference.by_task) > 1:
            means = (f"{task} {sum(of) / len(of):+.2f}" for task, of in judged.difference.by_task.items())
            yield f"by task: {', '.join(means)}"
    if judged.run_ids:
        weights = f" (weights: {judged.checkpoint})" if judged.checkpoint else ""
        yield f"{len(judged.run_ids)} records{weights}: {', '.join(judged.run_ids)}"
    for words in claim.runs:
        yield f"decided by `{shlex.join(['dsee-bench', '--multirun', *words])}`"


def _side(side: Side, measure: str) -> str:
    settings = ", ".join(f"{key}={value}" for key, value in (side.where or {}).items())
    return f"{side.measure or measure} of {side.method}" + (f" ({settings})" if settings else "")


def _numbers(judged: Judged) -> str:
    assert judged.difference is not None
    pairs = sum(map(len, judged.difference.by_task.values()))
    text = f"A - B = {judged.difference.mean:+.2f}"
    if judged.interval is not None:
        kind = "from {} to {} over all runs" if judged.exact else f"{CONFIDENCE:.0%} interval {{}} to {{}}"
        text += f", {kind.format(*(f'{end:+.2f}' for end in judged.interval))}"
    if judged.p_value is not None:
        text += f", p = {judged.p_value:.3f}"
    return f"{text}, n = {pairs}"


def _missing(judged: Judged) -> Iterator[str]:
    if judged.missing:
        yield f"- missing, {len(judged.missing)} runs:"
        for run in judged.missing:
            yield f"    - {run.run_id}: {run.why}; `{run.command}`"


def as_json(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return the claims as plain values."""
    return [_plain(each) for each in judged]


def _plain(judged: Judged) -> dict[str, Any]:
    claim, found = judged.claim, judged.difference
    sides = {"a": _plain_side(claim.a), "b": None if claim.b is None else _plain_side(claim.b), "number": claim.number}
    numbers = {
        "difference": None if found is None else found.mean,
        "by_task": None if found is None else {task: list(values) for task, values in found.by_task.items()},
        "n": 0 if found is None else sum(map(len, found.by_task.values())),
        "interval": None if judged.interval is None else list(judged.interval),
        "interval_is": "range" if judged.exact else f"{CONFIDENCE:.0%}",
        "p_value": judged.p_value,
    }
    said = {key: getattr(claim, key) for key in ("sentence", "source", "measure", "holds", "margin")}
    missing = [vars(run) for run in judged.missing]
    records = {"checkpoint": judged.checkpoint, "records": list(judged.run_ids), "missing": missing}
    return {"name": judged.name, "verdict": judged.verdict} | said | sides | numbers | records


def _plain_side(side: Side) -> dict[str, Any]:
    return {"method": side.method, "where": dict(side.where or {}), "measure": side.measure}


def html(judged: Sequence[Judged]) -> str:
    """Return a table of claims for a page; "" where none has a record."""
    known = [each for each in judged if each.run_ids]
    if not known:
        return ""
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html_text.escape(cell)}</td>" for cell in _cells(each)) + "</tr>" for each in known
    )
    heads = "".join(f"<th>{head}</th>" for head in HEADS)
    return f'<table class="paper">\n<tr>{heads}</tr>\n{rows}\n</table>\n<p class="notes">{html_text.escape(RULE)}</p>\n'


def _cells(judged: Judged) -> Iterator[str]:
    yield judged.verdict
    yield judged.claim.sentence
    yield judged.claim.source
    yield "–" if judged.difference is None else _numbers(judged).removeprefix("A - B = ")
    lacking = f", {len(judged.missing)} missing" if judged.missing else ""
    yield f"{len(judged.run_ids)}{lacking}" + (f" ({judged.checkpoint})" if judged.checkpoint else "")
