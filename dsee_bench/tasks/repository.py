"""A data set repository as its card and the names of its files describe it: configurations, splits, classes, counts.

`datasets` reads the card (README.md) and finds the files of each split, on a folder of empty files with the
repository's names: so only the files of one configuration are fetched, and their checksums are verified. The rows are
then read by `rows`, which names file and row of a mistake. Scripts of a repository are never run.
"""

import functools
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dsee_bench.hub import CARD, HubFiles, listing
from dsee_bench.system.errors import one_line, shown
from dsee_bench.tasks.rows import ENDINGS, names_of

SEPARATOR = ("sep", "delimiter")  # as cards name the separator of CSV files
HEADER = ("names", "column_names")  # and the columns of files without a header
KNOWN = {"config_name", "data_files", "data_dir", "default", "description", "version", "drop_labels", "features"}
ALTERNATIVE = "the files themselves, by task.hub=null and data_dir=DIR"


@dataclass(frozen=True)
class Repository:
    """One configuration of a repository."""

    remote: HubFiles  # its card, in the commit that a branch was resolved to
    splits: Mapping[str, tuple[str, ...]]  # name -> files, as paths in the repository
    features: Mapping[str, Any]  # column -> feature of `datasets`; empty where the card names none
    counts: Mapping[str, int]  # rows of splits, where the card states them
    separator: str | None  # of the fields in its CSV files; None: as their ending says
    columns: tuple[str, ...] | None  # of files without a header

    def classes(self, column: str) -> tuple[str, ...] | None:
        """Return the classes that the card names for a column, or for the items of a list column."""
        return names_of(self.features.get(column))


def open_repository(hub: str, revision: str, config: str | None, *, has_splits: bool = True) -> Repository:
    """Return a configuration of the repository; only its card and the names of its files are fetched.

    Without `has_splits`, for a task that names files, the card is not read.

    ValueError for an unknown configuration, and where there is no file of rows; ConnectionError where the card is not
    cached and there is no hub.
    """
    opened = _opened(hub, revision, config, has_splits)
    if isinstance(opened, ConnectionError):
        raise opened
    return opened


@functools.cache
def _opened(hub: str, revision: str, config: str | None, has_splits: bool) -> Repository | ConnectionError:
    """Return the repository, or why the hub cannot be asked, which takes seconds to find out."""
    try:
        return _read(hub, revision, config, has_splits)
    except ConnectionError as error:
        return error


def _read(hub: str, revision: str, config: str | None, has_splits: bool) -> Repository:
    folder, names = listing(hub, revision, ALTERNATIVE)
    commit = revision if HubFiles(hub, "dataset", revision, (), "").local_copy is not None else folder.name
    remote = HubFiles(hub, "dataset", commit, (), ALTERNATIVE, optional=CARD)
    if not has_splits:
        return Repository(remote, {}, {}, {}, None, None)
    with _empty_files(folder, names) as root, _own_errors(hub, root):
        return _described(remote, root, config)


@contextmanager
def _empty_files(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Give a folder with the card and an empty file for each of the names."""
    with tempfile.TemporaryDirectory(prefix="dsee-bench-") as root:
        for name in names:
            path = Path(root, name)
            if path.resolve().is_relative_to(Path(root).resolve()):
                path.parent.mkdir(parents=True, exist_ok=True)
                content = folder / name
                path.write_bytes(content.read_bytes() if name in CARD and content.is_file() else b"")
        yield Path(root)


@contextmanager
def _own_errors(hub: str, root: Path) -> Iterator[None]:
    """Turn what `datasets` and YAML raise for a card or for missing files into a ValueError that names the data set."""
    try:
        yield
    except ValueError as error:
        raise ValueError(one_line(f"data set {hub}: {error}")) from error
    except Exception as error:  # of `datasets`, its card, or YAML
        reason = (str(error).splitlines() or [type(error).__name__])[0].replace(f"{root.resolve()}/", "")
        raise ValueError(
            f"data set {hub} holds no rows that can be read ({reason}); there must be files {', '.join(ENDINGS)}. A "
            "repository with a script alone has such files in task.revision=refs/convert/parquet"
        ) from error


def _described(remote: HubFiles, root: Path, config: str | None) -> Repository:
    from datasets import DatasetInfo
    from datasets.data_files import DataFilesDict, get_data_patterns, sanitize_patterns
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs

    logging.getLogger("datasets.info").setLevel(logging.ERROR)  # it warns of counts that a card does not state
    card = _card(root)
    configs = MetadataConfigs.from_dataset_card_data(card)
    infos = DatasetInfosDict.from_dataset_card_data(card)
    chosen, name = _configuration(configs, infos, root, config)
    _check_options(chosen)
    base = root / (chosen.get("data_dir") or "")
    patterns = sanitize_patterns(chosen["data_files"]) if "data_files" in chosen else get_data_patterns(str(base))
    found = DataFilesDict.from_patterns(patterns, base_path=str(base), allowed_extensions=list(ENDINGS))
    splits = {
        str(split): tuple(Path(file).relative_to(root.resolve()).as_posix() for file in files)
        for split, files in found.items()
        if files
    }
    if not splits:
        raise FileNotFoundError("no file of a known format")
    info = infos.get(name, DatasetInfo())
    columns = next((tuple(map(str, chosen[key])) for key in HEADER if chosen.get(key)), None)
    return Repository(
        remote=remote,
        splits=splits,
        features=info.features or {},
        counts={split: each.num_examples for split, each in (info.splits or {}).items() if each.num_examples},
        separator=next((str(chosen[key]) for key in SEPARATOR if chosen.get(key)), None),
        columns=columns,
    )


def _card(root: Path) -> Any:
    from huggingface_hub import DatasetCard, DatasetCardData

    readme, own = root / CARD[0], root / CARD[1]
    data = DatasetCard.load(readme).data if readme.is_file() else DatasetCardData()
    more: Any = OmegaConf.to_container(OmegaConf.load(own)) if own.is_file() else None
    return DatasetCardData(**{**data.to_dict(), **more}) if more else data


def _configuration(configs: Any, infos: Any, root: Path, config: str | None) -> tuple[Mapping[str, Any], str]:
    """Return the settings of a configuration in the card, and its name; a folder may be one."""
    if configs:
        name = config or configs.get_default_config_name() or (next(iter(configs)) if len(configs) == 1 else None)
        if name is not None and name in configs:
            return configs[name], name
        known = ", ".join(sorted(configs))
        if config is None:
            raise ValueError(f"it has several configurations; choose one by task.config: {known}")
        raise ValueError(f"task.config={config} is none of its configurations; there are {known}")
    if config is not None and (root / config).is_dir():
        return {"data_dir": config}, config
    if config is not None and config not in infos and config != "default":
        known = ", ".join(sorted({path.name for path in root.iterdir() if path.is_dir()} | set(infos))) or "none"
        raise ValueError(f"task.config={config} is none of its configurations or folders; there are {known}")
    return {}, config or (next(iter(infos)) if len(infos) == 1 else "default")


def _check_options(chosen: Mapping[str, Any]) -> None:
    """Refuse options of a reader that change what rows are read."""
    others = sorted({key for key, value in chosen.items() if value is not None} - KNOWN - {*SEPARATOR, *HEADER})
    if others:
        raise ValueError(
            f"its card sets {others[0]}={shown(chosen[others[0]])} for the reader, which is not supported; fetch its "
            "files and give them by task.hub=null and data_dir=DIR"
        )
