"""The cells of a committed table once more, from the JSON records and the table's YAML. Nothing of dsee_bench is used.

What is recomputed: which runs make which row; mean, spread, median and seeds of each cell; averages over tasks; marks
of the best, of ties (Welch, Holm) and of chance (binomial test); costs; the numbers in the notes. The times of a row
are the medians over its timed runs of one shape. What a cell says of a run is checked against the record; whether the
record's own costs are right is for recomputed_costs.py.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from recomputed_costs import shape
from scipy import stats

HOW = {  # show -> (factor, format)
    "count": (1, "{:,.0f}"),
    "percent": (100, "{:.1f} %"),
    "giga": (1e-9, "{:.2f} G"),
    "mega": (1e-6, "{:.1f} M"),
    "plain": (1, "{:.1f}"),
}
TIMES = ("latency_ms", "latency_dense_ms", "latency_saved", "tokens_per_second")
CHOSEN_ON = {"best dev": "dev", "best validation": "validation", "last": "last"}  # checkpoint -> train.select_on


@dataclass
class Cell:
    values: dict[int, float]  # by seed, in points
    digits: int
    higher: bool
    costs: dict[str, float] = field(default_factory=dict)
    dagger: bool = False
    mark: str = ""

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.values.values())))

    @property
    def std(self) -> float | None:
        return float(np.std(list(self.values.values()), ddof=1)) if len(self.values) > 1 else None

    @property
    def text(self) -> str:
        """The cell as Markdown prints it."""
        spread = "" if self.std is None else f" ± {self.std:.{self.digits}f}"
        plain = f"{self.mean:.{self.digits}f}{spread} ({len(self.values)}){' †' if self.dagger else ''}"
        return {"": plain, "best": f"**{plain}**", "tie": f"{plain} ≈"}[self.mark]


def read_spec(folder: Path, name: str) -> dict[str, Any]:
    """Return conf/table/NAME.yaml over the files of conf/ that its defaults name."""
    own = yaml.safe_load((folder / "table" / f"{name}.yaml").read_text("utf-8"))
    whole: dict[str, Any] = {}
    for word in own.pop("defaults", []):
        if word != "_self_":
            whole |= yaml.safe_load((folder / f"{word.split('@')[0].lstrip('/')}.yaml").read_text("utf-8"))
    return whole | own


class Table:
    """One table as it must be: `rows` and `cells` by (backbone, label), and what is `wrong` with the labels."""

    def __init__(self, name: str, spec: dict[str, Any], records: list[dict], labels: list[tuple[str, str]]) -> None:
        self.spec, self.wrong = spec, []
        records = list(on_engines(records)) if spec.get("engines") else records
        way = name.rpartition("-")[2] if "-" in name else spec.get("select_on", "dev")
        where = spec.get("filters", {})
        self.records = [
            record
            for record in records
            if record["status"] == "finished"
            and CHOSEN_ON.get(record["checkpoint"], way) == way
            and _fits(flat(record["config"]), where)
        ]
        self.columns = [column for column in self._columns() if any(self.score(r, column) for r in self.records)]
        self.records = [r for r in self.records if any(self.score(r, column) for column in self.columns)]
        self.rows = {key: self._runs(*key) for key in labels}
        self._check_rows()
        self.cells = {key: self._cells(runs) for key, runs in self.rows.items()}
        self.averages = self._averages()
        for cells in self.cells.values():
            by_label = dict(zip([column["label"] for column in self.columns], cells, strict=True))
            cells += [self._average([by_label.get(label) for label in over]) for over in self.averages.values()]
        for _, block in groupby(self.cells, key=lambda key: key[0]):
            for column in zip(*(self.cells[key] for key in block), strict=True):
                mark([cell for cell in column if cell])

    def _columns(self) -> list[dict[str, Any]]:
        split = self.spec["split"]
        if "columns" in self.spec:
            return [{"split": split, **column} for column in self.spec["columns"]]
        first = {}
        for record in self.records:
            scores = [score["name"] for score in record["scores"] if score["split"] == split]
            if scores:
                first.setdefault(record["config"]["task"]["name"], scores[0])
        return [
            {"task": task, "score": score, "split": split, "label": f"{task} {score}"}
            for task, score in sorted(first.items())
        ]

    def score(self, record: dict, column: dict) -> dict | None:
        if record["config"]["task"]["name"] != column["task"]:
            return None
        wanted = (column["score"], column["split"])
        scores = [*record["scores"], *_retained(record)]
        return next((score for score in scores if (score["name"], score["split"]) == wanted), None)

    def _runs(self, backbone: str, label: str) -> list[dict]:
        """The runs of a row: those of its method in the YAML, with the settings that its label names."""
        known = [row for row in self.spec["rows"] if label == row["label"] or label.startswith(f"{row['label']} (")]
        row = max(known, key=lambda row: len(row["label"]), default=None)
        row = row or {"method": label.split(" (")[0], "label": label.split(" (")[0]}
        named = label.removeprefix(row["label"]).strip(" ()")
        pairs = [pair.split("=") for pair in named.split(", ")] if named else []
        return [
            record
            for record in self.records
            if record["config"]["backbone"]["name"] == backbone
            and record["config"]["method"]["name"] == row["method"]
            and _fits(flat(record["config"]), row.get("where", {}))
            and all(_setting(flat(record["config"]), key) == value for key, value in pairs)
        ]

    def _check_rows(self) -> None:
        """Each run stands in one row, and the runs of a row on one task differ in nothing but the seed."""
        for record in self.records:
            rows = [key for key, runs in self.rows.items() if record in runs]
            if len(rows) != self._wanted(record):
                self.wrong.append(f"{record['run_id']} stands in {len(rows)} rows: {rows}")
        for key, runs in self.rows.items():
            settings: dict[str, list] = defaultdict(list)
            for record in runs:
                settings[record["config"]["task"]["name"]].append(
                    {name: value for name, value in flat(record["config"]).items() if name != "seed"}
                )
            if not runs or any(one != same[0] for same in settings.values() for one in same):
                self.wrong.append(f"{key} is no row of runs that differ by their seed")

    def _wanted(self, record: dict) -> bool:
        """Whether the table shows a run: its method has no row there, and others are shown, or one that admits it."""
        method = record["config"]["method"]["name"]
        rows = [row for row in self.spec["rows"] if row["method"] == method]
        settings = flat(record["config"])
        return any(_fits(settings, row.get("where", {})) for row in rows) if rows else self.spec["other_methods"]

    def _cells(self, runs: list[dict]) -> list[Cell | None]:
        times = pooled_times(runs)
        cells: list[Cell | None] = []
        for column in self.columns:
            pairs = [(record, self.score(record, column)) for record in runs]
            by_seed = {record["config"]["seed"]: (record, score) for record, score in pairs if score}
            scored = {seed: pair for seed, pair in sorted(by_seed.items()) if pair[1]["value"] is not None}
            cells.append(self._cell(column, scored, times) if scored else None)
        return cells

    def _cell(self, column: dict, scored: dict[int, tuple[dict, dict]], times: dict[str, dict]) -> Cell:
        first = next(iter(scored.values()))[1]
        scale = 100 if first["unit"] in ("0-1", "-1-1") else 1
        cell = Cell(
            {seed: scale * score["value"] for seed, (_, score) in scored.items()},
            column.get("digits", self.spec["digits"]),
            first["better"] == "higher",
        )
        costs = [costs_of(record) | times.get(record["run_id"], {}) for record, _ in scored.values()]
        for name in {name for known in costs for name in known}:
            cell.costs[name] = float(np.mean([known[name] for known in costs if name in known]))
        record = next(iter(scored.values()))[0]
        if column["score"] == "accuracy" and record["config"]["method"]["name"] != "majority":
            cell.dagger = self._at_chance(column, scored)
        return cell

    def _at_chance(self, column: dict, scored: dict[int, tuple[dict, dict]]) -> bool:
        for record, score in scored.values():
            checksum = record["data"][column["split"]]["sha256"]
            for other in self.records:
                guess = self.score(other, column)
                same = other["data"].get(column["split"], {}).get("sha256") == checksum
                if other["config"]["method"]["name"] == "majority" and guess and same:
                    right = round(score["value"] * score["n"])
                    test = stats.binomtest(right, score["n"], guess["value"], alternative="greater")
                    if test.pvalue >= 0.05:
                        return True
        return False

    def _averages(self) -> dict[str, list[str]]:
        """The table's average, and the one without the columns in which more than half of the rows are at chance."""
        if "average" not in self.spec:
            return {}
        label, over = self.spec["average"]["label"], self.spec["average"]["over"]
        left_out = []
        for place, column in enumerate(self.columns):
            cells = [
                cells[place]
                for key, cells in self.cells.items()
                if cells[place] and self.rows[key][0]["config"]["method"]["name"] != "majority"
            ]
            if column["label"] in over and sum(cell.dagger for cell in cells) * 2 > len(cells):
                left_out.append(column["label"])
        left = [name for name in over if name not in left_out]
        more = {f"{label} without {', '.join(left_out)}": left} if left_out and left else {}
        return {label: over, **more}

    def _average(self, cells: list[Cell | None]) -> Cell | None:
        if any(cell is None for cell in cells):
            return None
        seeds = sorted(set.intersection(*(set(cell.values) for cell in cells)))
        if not seeds:
            return None
        means = {seed: float(np.mean([cell.values[seed] for cell in cells])) for seed in seeds}
        return Cell(means, self.spec["digits"], cells[0].higher)

    def cost_texts(self, key: tuple[str, str]) -> list[str]:
        cells = [cell for cell in self.cells[key][: len(self.columns)] if cell]
        scattered = any(stage["facts"].get("zeroed_entries") for run in self.rows[key] for stage in run["stages"])
        texts = []
        for cost in self.spec["costs"]:
            values = sorted(cell.costs[cost["cost"]] for cell in cells if cost["cost"] in cell.costs)
            factor, pattern = HOW[cost["show"]]
            ends = [pattern.format(factor * value) for value in values[:1] + values[-1:]]
            text = "–".join(dict.fromkeys(ends)) or "–"
            word = " theoretical" if scattered and cost["cost"].startswith("flops_") else ""
            texts.append(text if text == "–" else text + word)
        return texts


def on_engines(records: list[dict]) -> Iterator[dict]:
    """Each run once for each engine that its model was measured on, with the scores, times and bytes there."""
    for record in records:
        engines = {engine["engine"]: engine for engine in record.get("engines", ())}
        for name, engine in engines.items():
            run = copy.deepcopy(record)
            run |= {"run_id": f"{record['run_id']} on {name}", "config": run["config"] | {"engine": name}}
            run["scores"] = engine.get("scores") or [score | {"value": None} for score in run["scores"]]
            run["costs"] = [
                cost for cost in run["costs"] if not cost["name"].startswith(("latency", "disk_", "energy"))
            ]
            if engine["reason"] is None:
                torch_ms = engines["torch"]["latency_dense_ms"]
                counts = f"{engine['batch']} x {engine['tokens']}"
                found = {
                    "latency_ms": engine["latency_ms"],
                    "latency_dense_ms": engine["latency_dense_ms"],
                    "known_to": (engine["interval"][1] - engine["interval"][0]) / 2,
                    "saved_beside_torch": (torch_ms - engine["latency_ms"]) / torch_ms,
                    "engine_bytes": engine["bytes"],
                }
                run["costs"] += [{"name": cost, "value": value, "counts": counts} for cost, value in found.items()]
            yield run


def _retained(record: dict) -> list[dict]:
    """The scores on other tasks, by split: the last of a run, the first, and how much the last is more."""
    series = defaultdict(list)
    for score in record.get("retention", ()):
        series[score["task"], score["split"], score["name"]].append(score)
    scores = []
    for (task, split, _), (first, *_, last) in ((key, [*kept, kept[-1]]) for key, kept in series.items()):
        values = {"last": last["value"]}
        if first is not last:
            values |= {"first": first["value"], "change": last["value"] - first["value"]}
        scores += [last | {"split": f"{task}/{split} {when}", "value": value} for when, value in values.items()]
    return scores


def flat(config: dict, prefix: str = "") -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            settings |= flat(value, f"{prefix}{key}.")
        else:  # of a class the module may move
            settings[prefix + key] = value.rpartition(".")[2] if key == "_target_" else value
    return settings


def _fits(settings: dict, where: dict) -> bool:
    return all(settings.get(key) in (wanted if isinstance(wanted, list) else [wanted]) for key, wanted in where.items())


def _setting(settings: dict, key: str) -> str:
    names = (f"method.stages.{key}", f"method.{key}", key)
    value = next((settings[name] for name in names if name in settings), None)
    return "none" if value is None else "+".join(map(str, value)) if isinstance(value, list) else str(value)


def costs_of(record: dict) -> dict[str, float]:
    """The costs of a record, and those that follow from it: heads and neurons left, time saved."""
    costs = {cost["name"]: cost["value"] for cost in record["costs"] if cost["value"] is not None}
    if "latency_ms" in costs:
        costs["latency_saved"] = 1 - costs["latency_ms"] / costs["latency_dense_ms"]
    if record["config"]["method"]["name"] != "majority":
        costs["heads"], costs["neurons"] = shape(record)
    return costs


def pooled_times(runs: list[dict]) -> dict[str, dict[str, float]]:
    """Return for each timed run the medians over the timed runs of its shape."""
    groups = defaultdict(list)
    for record in runs:
        clocked = [cost["counts"].split(", quartiles")[0] for cost in record["costs"] if cost["name"] == "latency_ms"]
        if clocked:
            groups[shape(record), clocked[0]].append(record)
    times = {}
    for timed in groups.values():
        costs = [costs_of(record) for record in timed]
        medians = {name: float(np.median([known[name] for known in costs])) for name in TIMES}
        times |= {record["run_id"]: medians for record in timed}
    return times


def mark(cells: list[Cell]) -> None:
    """Mark the best mean of several seeds, and the cells that Welch's test, by Holm's steps, cannot tell from it."""
    several = [cell for cell in cells if len(cell.values) > 1]
    if len(several) < 2:
        return
    best = max(several, key=lambda cell: cell.mean if cell.higher else -cell.mean)
    tests = []
    for cell in several:
        if cell is not best and max(cell.std, best.std) > 0:
            p = stats.ttest_ind(list(cell.values.values()), list(best.values.values()), equal_var=False).pvalue
            tests.append((float(p), cell))
    tests.sort(key=lambda pair: pair[0])
    reached = 0.0
    for place, (p, cell) in enumerate(tests):
        reached = max(reached, (len(tests) - place) * p)
        cell.mark = "tie" if reached >= 0.05 else ""
    for cell in several:
        if math.isclose(cell.mean, best.mean, rel_tol=1e-12):
            cell.mark = "best"
