"""Every cell of every committed table, computed once more from the JSON records by code that shares nothing with ours.

Not recomputed, since no record has what it takes: a run's scores (the answers and weights are not committed), times in
ms and bytes of files (measured), and the zeros that published weights have of their own. A table's text that states no
number of ours is left out too: published numbers are compared with the YAML alone, recipes and neighbours not at all.
"""

import copy
import csv
import html
import json
import math
import re
from pathlib import Path

import pytest
from recomputed_costs import wrong_costs
from recomputed_tables import Cell, Table, costs_of, pooled_times, read_spec

ROOT = Path(__file__).parents[2]
TABLES = sorted(path.stem for path in (ROOT / "results" / "tables").glob("*.csv"))
TEX = {r"$\pm$": "±", r"$\approx$": "≈", "--": "–", r"$\cdot$": "·", r"$\times$": "×", r"$\Omega$": "Ω"}


@pytest.fixture(scope="module")
def records() -> list[dict]:
    return [json.loads(path.read_text("utf-8")) for path in sorted((ROOT / "results" / "runs").glob("*.json"))]


def printed(folder: Path, name: str, kind: str) -> list[list[str]]:
    """The lines of a table as cells, headings first; marks as Markdown has them."""
    text = (folder / f"{name}.{kind}").read_text("utf-8")
    if kind == "md":
        lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
        return [[cell.strip().replace(r"\|", "|") for cell in line] for line in [lines[0], *lines[2:]]]
    if kind == "html":
        lines = [re.findall(r"<t[hd]>(.*?)</t[hd]>", line, re.S) for line in re.findall(r"<tr.*?</tr>", text, re.S)]
        return [[html.unescape(re.sub(r"</?b>", "**", cell)) for cell in line] for line in lines]
    lines = [line.removesuffix(r" \\") for line in text.splitlines() if line.endswith(r" \\")]
    return [[_plain(cell.strip()) for cell in re.split(r"(?<!\\)&", line)] for line in lines]


def _plain(cell: str) -> str:
    """A cell of LaTeX without its commands."""
    for command, char in TEX.items():
        cell = cell.replace(command, char)
    return re.sub(r"\\([&%$#_{}])", r"\1", re.sub(r"\\textbf\{(.*)\}", r"**\1**", cell))


def faults(name: str, records: list[dict], folder: Path = ROOT / "results" / "tables") -> list[str]:
    """Return what is wrong in the CSV, Markdown, HTML and LaTeX of a table."""
    spec = read_spec(ROOT / "conf", name.partition("-")[0])
    lines = [(row[0], row[1]) for row in printed(folder, name, "md")[1:] if row[-1] != "published"]
    table = Table(name, spec, records, lines)
    wrong = [*table.wrong, *_csv_faults(table, folder / f"{name}.csv")]
    for kind in ("md", "html", "tex"):
        for right, found in zip(_grid(table), printed(folder, name, kind), strict=True):
            pairs = zip(right, found, strict=True)
            wrong += [f"{name}.{kind}, {right[:2]}: {b!r} should be {a!r}" for a, b in pairs if a != b]
    notes = [line[2:] for line in (folder / f"{name}.md").read_text("utf-8").splitlines() if line.startswith("- ")]
    return wrong + [f"{name}.md lacks the note {note!r}" for note in _notes(table) if note not in notes]


def _grid(table: Table) -> list[list[str]]:
    costs = [cost["label"] for cost in table.spec["costs"]]
    headings = [*(column["label"] for column in table.columns), *table.averages, *costs]
    grid = [["Backbone", "Method", *headings, "Checkpoint"]]
    for key, cells in table.cells.items():
        texts = [cell.text if cell else "–" for cell in cells]
        grid.append([*key, *texts, *table.cost_texts(key), _checkpoint(table, key)])
    for number, row in enumerate(_published(table), 1):
        texts = [row["cells"].get(heading, "–") for heading in headings]
        grid.append([row["backbone"], f"{row['label']} [{number}]", *texts, "published"])
    return grid


def _checkpoint(table: Table, key: tuple[str, str]) -> str:
    return " and ".join(sorted({record["checkpoint"] or "none" for record in table.rows[key]}))


def _published(table: Table) -> list[dict]:
    labels = {column["label"] for column in table.columns}
    return [row for row in table.spec.get("published", []) if labels & row["cells"].keys()]


def _csv_faults(table: Table, path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        found = {(line["backbone"], line["method"], line["column"]): line for line in csv.DictReader(file)}
    right: dict[tuple[str, str, str], dict[str, str | float | None]] = {}
    for key, cells in table.cells.items():
        for column, cell in zip(table.columns, cells, strict=False):  # averages are not in the CSV
            if cell:
                right[(*key, column["label"])] = _csv_line(table, key, column, cell)
    for row in _published(table):
        for label, number in row["cells"].items():
            right[row["backbone"], row["label"], label] = {"printed": number, "source": row["source"]}
    wrong = [f"{path.name}: {key} is on one side only" for key in found.keys() ^ right.keys()]
    for key in found.keys() & right.keys():
        for name, value in found[key].items():
            if name not in ("backbone", "method", "column") and not _same(value, right[key].get(name)):
                wrong.append(f"{path.name}, {key}: {name} is {value}, should be {right[key].get(name)}")
    return wrong


def _csv_line(table: Table, key: tuple[str, str], column: dict, cell: Cell) -> dict[str, str | float | None]:
    values = sorted(cell.values.values())
    middle = values[len(values) // 2] if len(values) % 2 else sum(values[len(values) // 2 - 1 :][:2]) / 2
    return {
        **{name: column[name] for name in ("task", "score", "split")},
        **{"mean": cell.mean, "std": cell.std, "median": middle, "n": len(values)},
        "seeds": " ".join(map(str, cell.values)),
        "mark": cell.mark or None,
        "checkpoint": _checkpoint(table, key),
        **{cost["cost"]: cell.costs.get(cost["cost"]) for cost in table.spec["costs"]},
    }


def _same(text: str, value: str | float | None) -> bool:
    if value is None or isinstance(value, str):
        return text == (value or "")
    return text != "" and math.isclose(float(text), value, rel_tol=1e-11, abs_tol=1e-12)


def _notes(table: Table) -> list[str]:
    """The notes with numbers of ours: examples, signatures, the span of times, how many runs."""
    notes, used = [], {run["run_id"]: run for runs in table.rows.values() for run in runs}
    for column in table.columns:
        scores = [score for run in used.values() if (score := table.score(run, column))]
        signatures = " or ".join(sorted({score["signature"] for score in scores}))
        size = f"{scores[0]['n']:,} examples of {column['split']}"
        notes.append(f"{column['label']}: {column['score']} on {size}; {signatures}")
    for label, over in table.averages.items():
        notes.append(f"{label}: mean over {', '.join(over)}, of the seeds that all of them have")
    if any(cost["cost"].startswith("latency") for cost in table.spec["costs"]):
        for (backbone, label), runs in table.rows.items():
            named = label if [own for _, own in table.rows].count(label) == 1 else f"{backbone} {label}"
            saved = sorted(costs_of(run)["latency_saved"] for run in runs if run["run_id"] in pooled_times(runs))
            if len(saved) > 1:  # of one shape, in every committed row
                ends = f"{100 * saved[0]:.1f} % to {100 * saved[-1]:.1f} %"
                times = f"times are the median of {len(saved)} timed runs; time saved is {ends} in single ones"
                notes.append(f"{named}: {times}")
    commits = sorted({run["made_by"]["commit"][:7] for run in used.values()})
    shown = ", ".join(commits) if len(commits) <= 5 else f"{len(commits)} commits"
    devices = "; ".join(sorted({run["made_by"]["device"] for run in used.values()}))
    dirty = sum(bool(run["made_by"]["dirty"]) for run in used.values())
    more = f"; {dirty} with uncommitted changes" if dirty else ""
    return [*notes, f"{len(used)} runs, made at {shown}, on {devices}{more}"]


def test_there_are_tables():
    assert {"glue", "e2e_small", "structured", "sparsity_curve"} <= set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_every_cell_follows_from_the_records(name, records):
    assert faults(name, records) == []


@pytest.mark.parametrize("folder", ["results/runs", "results/search/runs"])
def test_parameters_flops_and_zeros_of_every_run_follow_from_its_settings(folder):
    paths = sorted((ROOT / folder).glob("*.json"))
    assert paths
    assert [fault for path in paths for fault in wrong_costs(json.loads(path.read_text("utf-8")))] == []


def _other_score(run):
    run["scores"][0]["value"] += 0.001  # a tenth of a point


def _other_seed(run):
    run["config"]["seed"] = 7


def _other_cost(run):
    next(cost for cost in run["costs"] if cost["name"] == "flops_saved")["value"] += 1e-9


@pytest.mark.parametrize("plant", [_other_score, _other_seed, _other_cost])
def test_an_error_in_a_record_is_found(plant, records):
    name = "mrpc-minilm-dsee_structured-s1-b2a0b94c"  # of the older grid, which is in this table
    others = [record for record in records if record["run_id"] != name]
    (run,) = [copy.deepcopy(record) for record in records if record["run_id"] == name]
    plant(run)
    found = faults("structured", [*others, run])
    assert any("DSEE structured" in fault for fault in found)


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("md", "80.7 ± 0.8 (3) ≈", "80.8 ± 0.8 (3) ≈"),  # a digit of a mean
        ("md", "**81.5 ± 0.4 (3)**", "81.5 ± 0.4 (3)"),  # the best of a column
        ("md", "56.3 ± 2.3 (3) † ≈", "56.3 ± 2.3 (3) ≈"),  # a cell at chance
        ("md", "57 runs, made at", "58 runs, made at"),
        ("html", "<td>6,912</td>", "<td>6,913</td>"),
        ("tex", "24.3 \\%", "24.4 \\%"),
        ("csv", "0.7878799641334043", "0.7878799641434043"),
        ("csv", ",tie,", ",best,"),
    ],
)
def test_an_error_in_a_table_is_found(kind, right, wrong, records, tmp_path):
    for path in (ROOT / "results" / "tables").glob("structured.*"):
        text = path.read_text("utf-8")
        assert right in text or path.suffix != f".{kind}"
        (tmp_path / path.name).write_text(text.replace(right, wrong, 1) if path.suffix == f".{kind}" else text, "utf-8")
    assert len(faults("structured", records, tmp_path)) == 1


@pytest.mark.parametrize("cost", ["trainable_parameters", "flops_final", "position_bits", "sparsity_masked"])
def test_an_error_in_a_cost_is_found(cost, records):
    run = copy.deepcopy(next(record for record in records if record["config"]["method"]["name"] == "dsee"))
    next(known for known in run["costs"] if known["name"] == cost)["value"] *= 1 + 1e-7
    (fault,) = wrong_costs(run)
    assert cost in fault
