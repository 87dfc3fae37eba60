"""Files of a hub repository at a pinned revision: from the cache, or downloaded; their checksums are always verified.

huggingface_hub retries for 23 to 46 s before it says that there is no network; so the hub is asked once first. It also
verifies no checksum of what came over plain HTTP, though its cache names every file by one.
"""

import contextlib
import functools
import io
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from dsee_bench.monitoring import console
from dsee_bench.system import signals
from dsee_bench.system.checksum import verify
from dsee_bench.system.files import write_atomically
from dsee_bench.system.shell import shell_path
from dsee_bench.system.sources import find_files

SILENCE = 10  # seconds without an answer after which a call of the hub's API is tried again
WAITS = (1.0, 3.0)  # seconds before a download is tried again after an error of the server
CARD = ("README.md", ".huggingface.yaml")  # files that describe a data set
LOG_EVERY = 10.0  # seconds between two lines about a download where no terminal shows a bar

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class HubFiles:
    """Files in one revision of a hub repository."""

    repo: str  # "owner/name", or a folder with a copy of it: what begins with "/", ".", "~" or "$"
    kind: Literal["model", "dataset"]
    revision: str  # a commit, which never changes; or a branch, which may have moved on since it was cached
    files: tuple[str, ...]  # a file each, or the pattern of one or of all its shards
    alternative: str  # what a user without network can give instead, for the error
    optional: tuple[str, ...] = ()  # patterns of files that are taken if they exist
    either: tuple[str, ...] = ()  # patterns, of which the first that the repository has is taken

    @property
    def local_copy(self) -> Path | None:
        """Folder of the user's own copy, where `repo` names one."""
        return shell_path(self.repo, "hub") if self.repo.startswith(("/", ".", "~", "$")) else None

    @property
    def snapshot(self) -> dict[str, Any]:
        """Arguments of huggingface_hub's snapshot_download."""
        patterns = [*self.files, *self.optional]
        return {"repo_id": self.repo, "repo_type": self.kind, "revision": self.revision, "allow_patterns": patterns}

    @property
    def choices(self) -> "tuple[HubFiles, ...]":
        """Return these files with each of `either` in turn."""
        return tuple(replace(self, files=(*self.files, one), either=()) for one in self.either) or (self,)

    def __str__(self) -> str:
        return f"{self.repo} at {self.revision}"


@dataclass(frozen=True)
class DataRevision:
    """Splits of a data set in one revision of a hub repository, as parquet files."""

    repo: str  # "owner/name", or a folder with a copy of it
    revision: str
    files: Mapping[str, str]  # split -> pattern

    def remote(self, alternative: str) -> HubFiles:
        """Return the files of all splits; `alternative` says what a user without network can give instead."""
        return HubFiles(self.repo, "dataset", self.revision, tuple(self.files.values()), alternative)


def get(remote: HubFiles, probe: Callable[[], str | None] | None = None) -> Path:
    """Return the folder that holds `remote`, downloaded if need be; `probe` says why the hub cannot be asked.

    ConnectionError within seconds if it is not cached and there is no hub; ValueError if there is no such thing on the
    hub, or if a file is not what its checksum says.
    """
    if remote.local_copy is not None:
        return remote.local_copy
    folder = cached(remote)
    if folder is None or re.fullmatch("[0-9a-f]{40}", remote.revision) is None:  # a branch may have moved on
        reason = (probe or why_unreachable)()
        if reason is None:
            console.info(f"fetching the {_what(remote)} {remote}")
            folder = _download_first(remote)
        elif folder is None:
            raise ConnectionError(f"{remote} is not in the cache and {reason}. {_ways_out(remote)}")
    for path in paths(remote, folder):
        verify(path)
    return folder


def cached(remote: HubFiles) -> Path | None:
    """Return the cached folder if it holds every file of `remote`; asks no network and writes nothing."""
    from huggingface_hub import snapshot_download

    for choice in remote.choices:
        try:
            folder = Path(snapshot_download(**choice.snapshot, local_files_only=True))
            paths(choice, folder)
        except FileNotFoundError:
            continue
        return folder
    return None


def listing(repo: str, revision: str, alternative: str) -> tuple[Path, tuple[str, ...]]:
    """Return the folder with a data set's card, and the names of all files in that revision.

    The names are stored beside the cached files, for nodes without network. A cache that another program filled has no
    such list; there the cached files count. ConnectionError as from `get`.
    """
    card = HubFiles(repo, "dataset", revision, (), alternative, optional=CARD)
    if card.local_copy is not None:
        return card.local_copy, _names(card.local_copy)
    folder = cached(card)
    is_commit = re.fullmatch("[0-9a-f]{40}", revision) is not None
    if folder is None or not (is_commit and _listed(folder).is_file()):
        reason = why_unreachable()
        if reason is None:
            folder = _download(card)
            names = _retried(card, functools.partial(_ask_names, repo, folder.name))
            _listed(folder).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(_listed(folder), json.dumps(names))
        elif folder is None:
            raise ConnectionError(f"{card} is not in the cache and {reason}. {_ways_out(card)}")
    stored = _listed(folder)
    return folder, tuple(json.loads(stored.read_text())) if stored.is_file() else _names(folder)


def _listed(folder: Path) -> Path:
    """Return the file for the names of a snapshot's files; it lies in the repository's folder of the hub's cache."""
    return folder.parent.parent / "dsee-bench" / f"{folder.name}.json"


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))


def _ask_names(repo: str, commit: str) -> list[str]:
    from huggingface_hub import HfApi

    _bound_calls()
    return sorted(HfApi().list_repo_files(repo, repo_type="dataset", revision=commit))


def paths(remote: HubFiles, folder: Path) -> list[Path]:
    """Return the files of `remote` in its folder, sorted; FileNotFoundError for one of `files` that is not there."""
    for choice in remote.choices[:-1]:
        with contextlib.suppress(FileNotFoundError):
            return paths(choice, folder)
    remote = remote.choices[-1]
    needed = [path for pattern in remote.files for path in find_files(folder, pattern)]
    return sorted({*needed, *(path for pattern in remote.optional for path in folder.glob(pattern))})


def why_unreachable(timeout: float = 3.0) -> str | None:
    """Return why the hub cannot be asked, or None if it answers within `timeout` seconds, name look-up included."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE
    from huggingface_hub.utils import get_session

    if HF_HUB_OFFLINE:
        return f"{'HF_HUB_OFFLINE' if 'HF_HUB_OFFLINE' in os.environ else 'TRANSFORMERS_OFFLINE'} is set"
    reasons: list[str | None] = []

    def ask() -> None:
        try:
            status = get_session().head(ENDPOINT, timeout=timeout).status_code
            reasons.append(f"{ENDPOINT} answers {status}" if status >= 500 else None)
        except Exception as error:  # of the address, the name look-up, the connection or a proxy
            reasons.append(f"{ENDPOINT} cannot be reached ({error})")

    # A thread, because no timeout bounds the name look-up; a daemon, so that it cannot hold up the exit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return reasons[0] if reasons else f"{ENDPOINT} does not answer within {timeout:g} s"


def _what(remote: HubFiles) -> str:
    return {"model": "model", "dataset": "data set"}[remote.kind]


def _ways_out(remote: HubFiles) -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    return (
        f"Three ways out: {remote.alternative}; a cache that holds it, by HF_HUB_CACHE=DIR (now {HF_HUB_CACHE}; "
        "`dsee-bench fetch` fills one); or network access (a mirror by HF_ENDPOINT=URL, offline mode off)"
    )


def _download_first(remote: HubFiles) -> Path:
    """Download the files with the first of `either` that the repository has."""
    for choice in remote.choices:
        folder = _download(choice)
        with contextlib.suppress(FileNotFoundError):
            paths(choice, folder)
            return folder
    if remote.either:
        raise ValueError(f"the {_what(remote)} {remote} holds none of {', '.join(remote.either)} on the hub")
    return folder


def _download(remote: HubFiles) -> Path:
    return _retried(remote, functools.partial(_snapshot, remote))


def _retried(remote: HubFiles, ask: Callable[[], Answer], waits: Sequence[float] = WAITS) -> Answer:
    """Retry server errors (5xx) of a file: huggingface_hub gives up on it at the first one."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return ask()
    except RevisionNotFoundError as error:
        raise ValueError(f"the {_what(remote)} {remote.repo} has no revision {remote.revision!r} on the hub") from error
    except RepositoryNotFoundError as error:
        message = f"there is no {_what(remote)} {remote.repo!r} on the hub, or it needs a login (HF_TOKEN)"
        raise ValueError(message) from error
    except Exception as error:  # of huggingface_hub, its HTTP library, its transfer library, or the disk
        if not waits or getattr(getattr(error, "response", None), "status_code", 0) < 500:
            cause = error.__cause__ or error  # huggingface_hub wraps it into advice of its own
            reason = f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0].rstrip('.')}"
            raise ConnectionError(f"{remote} could not be fetched: {reason}. {_ways_out(remote)}") from error
    time.sleep(waits[0])
    return _retried(remote, ask, waits[1:])


def _snapshot(remote: HubFiles) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_DISABLE_PROGRESS_BARS
    from tqdm import tqdm

    bars: list[tqdm[Any]] = []
    drawn = console.draws_bars() and not HF_HUB_DISABLE_PROGRESS_BARS

    class Bar(tqdm):  # type: ignore[type-arg]  # generic in its stubs alone
        """A bar on a terminal, and lines elsewhere; it ends a download when the run is asked to stop."""

        def __init__(self, **settings: Any) -> None:
            lines = {} if drawn else {"file": io.StringIO(), "mininterval": LOG_EVERY, "delay": LOG_EVERY}
            super().__init__(None, **{**settings, **lines, "leave": False})
            bars.append(self)

        def update(self, n: float | None = 1) -> bool | None:
            signals.raise_if_stopped()  # huggingface_hub would finish the file first
            return super().update(n)

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            if drawn:
                super().display(msg, pos)
            elif self.desc.startswith("Downloading"):  # of three bars the one of bytes received
                console.info(f"  {self.n / 1e6:.1f} of {(self.total or 0) / 1e6:.1f} MB")

    _bound_calls()
    try:
        return Path(snapshot_download(**remote.snapshot, tqdm_class=Bar))  # type: ignore[arg-type]
    finally:
        for bar in bars:  # huggingface_hub leaves them open, and they would come back below the next line
            bar.close()


def _bound_calls() -> None:
    from huggingface_hub.utils import get_session

    hooks = get_session().event_hooks["request"]
    if _bound not in hooks:
        hooks.append(_bound)


def _bound(request: Any) -> None:  # httpx2's Request
    """Bound the calls of the hub's API, which have no timeout: a silent server would hold the run for ever."""
    request.extensions["timeout"] = {phase: limit or SILENCE for phase, limit in request.extensions["timeout"].items()}
