"""MkDocs hooks: pages are made from conf/ and from the code when the site is built, so that none can grow stale.

A line `<!-- generated: NAME -->` in a page is replaced with what the function NAME of TABLES returns, a line
`<!-- include: FILE -->` with a Markdown file of the repository, `<!-- include: FILE#Heading -->` with a section of it.
"""

import importlib
import inspect
import itertools
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

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
        up = "../" * page.file.src_uri.count("/")  # from a page in a folder
        return filled(markdown).replace(f"]({up}../results/plots/", f"]({up}plots/")
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
        method = config.resolve(config.compose([f"method={name}"]))["method"]
        neighbour = f"`{method['neighbour']}`" if method["neighbour"] else "–"
        stages = ", ".join(f"`{stage}`" for stage in method["stages"]) or "none"
        rows.append((f"`{name}`", stages, neighbour, head_of("method", name)))
    return table(("method", "stages", "neighbour", "what it is"), rows)


def options() -> str:
    """Every option of the other groups, with the comment at the head of its file."""
    groups = ("backbone", "task", "train", "experiment")
    return "\n\n".join(
        f"### {group}\n\n"
        + table(("option", "what it is"), [(f"`{n}`", head_of(group, n)) for n in config.options(group)])
        for group in groups
    )


def run_settings() -> str:
    """The keys of conf/config.yaml, from the seed to what is Hydra's."""
    from dsee_bench.plan import Composition

    text = (config.CONF / "config.yaml").read_text(encoding="utf-8").partition("\nseed:")
    return keys_table((text[1] + text[2]).partition("\nhydra:")[0], Composition)


def stages() -> str:
    """Every file of conf/stage: what it does, and its settings with their types and defaults."""
    parts = []
    for path in sorted((config.CONF / "stage").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        module, _, name = str(OmegaConf.load(path)["_target_"]).rpartition(".")
        settings = getattr(importlib.import_module(module), name)
        parts.append(f"### {path.stem}\n\n{head_of('stage', path.stem)}\n\n{keys_table(body_of(text), settings)}")
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


def task_names() -> str:
    """Every option of conf/task and every variant of a family, with the first sentence of its comment."""
    from dsee_bench.cli import options as listed

    rows = [(f"`task={name}`", listed.summary("task", name)) for name in config.options("task")]
    rows += [(f"`task={name}`", text) for name, text in listed.variants("task")]
    return table(("task", "what it is"), rows)


def metric_names() -> str:
    """The metrics of classes, labels and numbers, with what each computes: the docstring of its function."""
    from dsee_bench import metrics

    rows = []
    for name in metrics.available():
        found = metrics.find(name)
        kinds = ", ".join(f"`{kind}`" for kind in found.kinds) + (f", {found.classes} classes" if found.classes else "")
        text = " ".join((found.compute.__doc__ or "").split())
        rows.append((f"`{name}`", kinds, found.takes, found.unit, found.better, text))
    return table(("metric", "kind of task", "takes", "values", "better", "what it is"), rows)


def record_fields() -> str:
    """The fields of a record and of its parts."""
    return sections([record.Record, record.Score, record.Retained, record.Cost, record.Deployment, record.StageLog])


def report_fields() -> str:
    """The fields of what each stage reports: `facts` in a record."""
    import dsee_bench.stages

    for found in pkgutil.iter_modules(dsee_bench.stages.__path__):
        importlib.import_module(f"dsee_bench.stages.{found.name}")
    return sections(sorted(record.Report.__subclasses__(), key=lambda cls: cls.__name__))


def adapter_settings() -> str:
    """The fields of DseeConfig."""
    from dsee_bench.adapters.dsee import DseeConfig

    return fields_table(DseeConfig)


TABLES = {
    made.__name__: made
    for made in (
        *(methods, options, run_settings, stages, recipe, recipes),
        *(task_names, metric_names, record_fields, report_fields, adapter_settings),
    )
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


def keys_table(text: str, settings: type) -> str:
    """`key: value  # comment` lines as a table; a key below another is written with a dot.

    `settings` is the class that checks the keys: its annotations give the types.
    """
    rows, above, hints = [], "", type_hints(settings)
    for line in text.strip("\n").splitlines():
        found = KEY.match(line)
        if found is None:
            continue
        indent, key, value, comment = found.groups()
        if indent:
            kind = type_hints(hints[above])[key]
        else:
            above, kind = key, hints[key]
        name = f"{above}.{key}" if indent else key
        rows.append((f"`{name}`", type_text(kind), f"`{value}`" if value else "", comment or ""))
    return table(("key", "type", "default", "what it is"), rows) if rows else "It has no settings."


def sections(classes: Sequence[type]) -> str:
    """A heading, the docstring and the fields of each class."""
    parts = []
    for cls in classes:
        text = " ".join((cls.__doc__ or "").split())
        said = "" if text.startswith(f"{cls.__name__}(") else f"{text}\n\n"  # without a docstring: the signature
        parts.append(f"### {cls.__name__}\n\n{said}{fields_table(cls)}")
    return "\n\n".join(parts)


def fields_table(cls: type) -> str:
    """The fields of a dataclass: name, type and the comment beside each, as its source has them."""
    hints = type_hints(cls)
    rows = [
        (f"`{found[1]}`", type_text(hints[found[1]]), found[4] or "")
        for found in matches(inspect.getsource(cls).splitlines())
        if not found[2].startswith("ClassVar")
    ]
    return table(("field", "type", "what it is"), rows)


def type_hints(cls: type) -> Mapping[str, Any]:
    return get_type_hints(cls, include_extras=True)


def type_text(kind: Any) -> str:
    """A type in words: `int ≥ 1`, `adapter or all`, `float or null`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return type_text(arguments[0]) + ",".join(rule for each in arguments[1:] for rule in rules(each))
    if origin in (Union, UnionType):
        return " or ".join(map(type_text, arguments))
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (dict, Mapping):
        return f"mapping to {type_text(arguments[1])}"
    if arguments and (origin in (list, set) or ... in arguments):
        return f"list of {type_text(arguments[0])}"
    if arguments:
        return f"[{', '.join(map(type_text, arguments))}]"
    words = {NoneType: "null", Any: "anything", bool: "true or false", str: "text", Path: "path"}
    return words.get(kind) or kind.__name__


def rules(limit: Any) -> Iterator[str]:
    """The ends of a range, of our own Limits or of annotated_types."""
    for name, sign in {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}.items():
        value = getattr(limit, name, None)
        if value is not None and abs(value) < config.limits.LARGEST:
            yield f" {sign} {value}"


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
