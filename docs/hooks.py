"""MkDocs hooks: pages are made from conf/ and from the code when the site is built, so that none can grow stale.

A line `<!-- generated: NAME -->` in a page is replaced with what the function NAME of TABLES returns, a line
`<!-- include: FILE -->` with a Markdown file of the repository, `<!-- include: FILE#Heading -->` with a section of it.
"""

import inspect
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from omegaconf import OmegaConf

from dsee_bench import config, record

ROOT = Path(__file__).parents[1]
KEY = re.compile(r"^(\s*)([A-Za-z_]\w*):\s*([^#]*?)\s*(?:#\s*(.*))?$")
PIPE = re.compile(r"(`[^`]*`)|\|")  # in code a table's separator stands for itself
FIELD = re.compile(r"^    (\w+): (.+?)(?: = (.+?))?(?:  # (.*))?$")


# --- what MkDocs calls ------------------------------------------------------------------------------------------------


def on_files(files: Any, config: Any) -> Any:
    """Add the committed figures, which pages show as ../results/plots/NAME."""
    for path in sorted((ROOT / "results" / "plots").glob("*.svg")):
        files.append(File.generated(config, f"plots/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in what is generated or included; PluginError, which ends the build, for a name that is not there."""
    try:
        return filled(markdown).replace("](../results/plots/", "](plots/")
    except (KeyError, ValueError, OSError) as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error


def filled(markdown: str) -> str:
    """The text of a page with its generated and included parts."""
    markdown = re.sub(r"<!-- generated: (\w+) -->", lambda found: TABLES[found[1]](), markdown)
    return re.sub(r"<!-- include: (\S+?)(?:#(.+?))? -->", lambda found: included(found[1], found[2]), markdown)


def included(name: str, heading: str | None) -> str:
    """A Markdown file of the repository without its title, or one section of it without its heading."""
    parts = re.split(r"^(#+ .*)$", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = {title.lstrip("# "): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}
    if heading is not None and heading not in sections:
        raise ValueError(f"{name} has no section {heading!r}; it has {', '.join(sections)}")
    return (sections[heading] if heading is not None else "".join(parts[2:])).strip()


# --- the tables -------------------------------------------------------------------------------------------------------


def methods() -> str:
    """Every option of conf/method with its stages in order and the comment at the head of its file."""
    rows = []
    for name in config.options("method"):
        stages = config.resolve(config.compose([f"method={name}"]))["method"]["stages"]
        rows.append((f"`{name}`", ", ".join(f"`{stage}`" for stage in stages) or "none", head_of("method", name)))
    return table(("method", "stages", "what it is"), rows)


def options() -> str:
    """Every option of the other groups, with the comment at the head of its file."""
    groups = ("backbone", "task", "train", "experiment")
    return "\n\n".join(
        f"### {group}\n\n"
        + table(("option", "what it is"), [(f"`{n}`", head_of(group, n)) for n in config.options(group)])
        for group in groups
    )


def run_settings() -> str:
    """The keys of conf/config.yaml."""
    text = (config.CONF / "config.yaml").read_text(encoding="utf-8").partition("\nseed:")
    return keys_table((text[1] + text[2]).partition("\nhydra:")[0])


def stages() -> str:
    """Every file of conf/stage: what it does, and its settings with their defaults."""
    parts = []
    for path in sorted((config.CONF / "stage").glob("*.yaml")):
        rows = keys_table(body_of(path.read_text(encoding="utf-8")))
        parts.append(f"### {path.stem}\n\n{head_of('stage', path.stem)}\n\n{rows}")
    return "\n\n".join(parts)


def recipe() -> str:
    """The settings of a training recipe, from the type that checks them."""
    return fields_table(config.recipes.Recipe)


def recipes() -> str:
    """conf/recipes.yaml: whose each recipe is and what it was made for."""
    rows = []
    for name, entry in OmegaConf.to_object(OmegaConf.load(config.CONF / "recipes.yaml")).items():
        made = "; ".join(f"{key} {', '.join(v) if isinstance(v, list) else v}" for key, v in entry["made_for"].items())
        rows.append((f"`{name}`", entry["whose"], made))
    return table(("recipe", "whose", "made for"), rows)


def record_fields() -> str:
    """The fields of a record and of its parts."""
    return "\n\n".join(
        f"### {cls.__name__}\n\n{' '.join(inspect.getdoc(cls).split())}\n\n{fields_table(cls)}"
        for cls in (record.Record, record.Score, record.Cost, record.StageLog)
    )


def adapter_settings() -> str:
    """The fields of DseeConfig."""
    from dsee_bench.adapters.dsee import DseeConfig

    return fields_table(DseeConfig)


TABLES = {
    made.__name__: made
    for made in (methods, options, run_settings, stages, recipe, recipes, record_fields, adapter_settings)
}


# --- reading files and types ------------------------------------------------------------------------------------------


def head_of(group: str, name: str) -> str:
    """The comment at the head of a file of conf/, up to the first line that is a command."""
    lines = (config.CONF / group / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    head = itertools.takewhile(lambda line: line.startswith("#"), lines)
    words = (line.lstrip("# ").strip() for line in head)
    return " ".join(line for line in words if not line.startswith(("@package", "dsee-bench ", "method.")))


def body_of(text: str) -> str:
    """The lines of a YAML file that set something."""
    without = re.sub(r"^defaults:\n(  .*\n)+", "", text, flags=re.MULTILINE)
    return "\n".join(line for line in without.splitlines() if not line.startswith(("#", "_target_")))


def keys_table(text: str) -> str:
    """`key: value  # comment` lines as a table; a key below another is written with a dot."""
    rows, above = [], ""
    for line in text.strip("\n").splitlines():
        found = KEY.match(line)
        if found is None:
            continue
        indent, key, value, comment = found.groups()
        if not indent:
            above = key
        rows.append((f"`{key if not indent else f'{above}.{key}'}`", f"`{value}`" if value else "", comment or ""))
    return table(("key", "default", "what it is"), rows) if rows else "It has no settings."


def fields_table(cls: type) -> str:
    """The fields of a dataclass: name, type and the comment beside each, as its source has them."""
    rows = [
        (f"`{name}`", f"`{kind}`", comment or "")
        for name, kind, _, comment in map(re.Match.groups, matches(inspect.getsource(cls).splitlines()))
        if not kind.startswith("ClassVar")
    ]
    return table(("field", "type", "what it is"), rows)


def matches(lines: Sequence[str]) -> Iterator[re.Match[str]]:
    for line in lines:
        if line.startswith("    def ") or line.startswith("    @"):
            return
        found = FIELD.match(line)
        if found is not None:
            yield found


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; ValueError for one without rows, as a file or a type has then changed its form."""
    if not rows:
        raise ValueError(f"the table of {', '.join(head)} has no rows")
    lines = [
        head,
        ["---"] * len(head),
        *([PIPE.sub(lambda found: found[1] or "\\|", cell) for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
