"""The table printed at the end of one run."""

from tabulate import tabulate

from dsee_bench.record import Record

COSTS = {  # cost name -> heading, how it is printed
    "trainable_parameters": ("trainable", "{:,.0f}"),
    "sparsity_masked": ("sparsity", "{:.1%}"),
    "flops_final": ("FLOPs", "{:,.0f}"),
    "flops_saved": ("FLOPs saved", "{:.1%}"),
}


def run_table(record: Record) -> str:
    """Return one line a scored split: scores, trainable parameters, sparsity and FLOPs; a dash for None."""
    method, task, backbone = (record.config[group]["name"] for group in ("method", "task", "backbone"))
    costs = {COSTS[cost.name][0]: _text(cost.value, COSTS[cost.name][1]) for cost in record.costs if cost.name in COSTS}
    ordered = {heading: costs.get(heading, "–") for heading, _ in COSTS.values()}
    lines = [
        {"method": method, "backbone": backbone, "task": task, "split": split}
        | {score.name: _text(score.value, "{:.4f}") for score in record.scores if score.split == split}
        | ordered
        | {"checkpoint": record.checkpoint or "–"}
        for split in dict.fromkeys(score.split for score in record.scores)
    ]
    table = tabulate(lines, headers="keys", tablefmt="simple", disable_numparse=True, missingval="–")
    return "\n".join([table, *(f"also {text}" for text in retained(record))])


def retained(record: Record) -> list[str]:
    """Return the scores on each other task, in the order of the run."""
    scores: dict[str, list[str]] = {}
    for score in record.retention:
        place = f"after {score.after}" if score.after else "untouched"
        text = f"{_text(score.value, '{:.4f}')} {place}"
        scores.setdefault(f"{score.task} {score.split} {score.name}", []).append(text)
    return [f"{name} {', '.join(texts)}" for name, texts in scores.items()]


def _text(value: float | None, pattern: str) -> str:
    return "–" if value is None else pattern.format(value)
