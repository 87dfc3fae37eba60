"""Files of a hub repository at a pinned revision: from the cache, or downloaded; always held against their checksums.

The hub's own client retries for 23 to 46 s before it says that there is no network; here the hub is asked once first.
It also makes no checksum of what came over plain HTTP, though its cache names every file by one.
"""

import base64
import io
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from dsee_bench.monitoring import console
from dsee_bench.system import signals
from dsee_bench.system.checksum import verify
from dsee_bench.system.shell import shell_path
from dsee_bench.system.sources import find_files

SILENCE = 10  # seconds without an answer after which a call of the hub's API is given up; its client then tries again
WAITS = (1.0, 3.0)  # seconds before a download is tried again that the server broke off by an error of its own
TELL_EVERY = 10.0  # seconds between two lines about a download where no terminal shows a bar


@dataclass(frozen=True)
class Wanted:
    """Files of one revision of a hub repository."""

    repo: str  # "owner/name", or a folder with a copy of it: what begins with "/", ".", "~" or "$"
    kind: Literal["model", "dataset"]
    revision: str  # a commit, which never changes; or a branch, which may have moved on since it was cached
    files: tuple[str, ...]  # a file each, or the pattern of one or of all its shards
    local: str  # what a user without network can give instead, for the error
    extra: tuple[str, ...] = ()  # patterns of files that are taken where they are there

    @property
    def folder(self) -> Path | None:
        """The user's own copy, where `repo` names one."""
        return shell_path(self.repo, "hub") if self.repo.startswith(("/", ".", "~", "$")) else None

    @property
    def pinned(self) -> bool:
        return re.fullmatch("[0-9a-f]{40}", self.revision) is not None

    def __str__(self) -> str:
        return f"{self.repo} at {self.revision}"


@dataclass(frozen=True)
class DataRevision:
    """The splits of a data set in one revision of a hub repository, as parquet files."""

    repo: str  # "owner/name", or a folder with a copy of it
    revision: str
    files: Mapping[str, str]  # split -> pattern

    def wanted(self, local: str) -> Wanted:
        """All of its splits; `local` says what a user without network can give instead."""
        return Wanted(self.repo, "dataset", self.revision, tuple(self.files.values()), local)


def get(wanted: Wanted, why_not: Callable[[], str | None] | None = None) -> Path:
    """The folder that holds `wanted`, downloaded if need be; `why_not` says why the hub cannot be asked.

    ConnectionError within seconds if it is not cached and there is no hub; ValueError if there is no such thing on the
    hub, or if a file is not what its checksum says.
    """
    if wanted.folder is not None:
        return wanted.folder
    folder = cached(wanted)
    if folder is None or not wanted.pinned:
        reason = (why_not or why_no_hub)()
        if reason is None:
            folder = _download(wanted)
        elif folder is None:
            raise ConnectionError(f"{wanted} is not in the cache and {reason}. {_ways_out(wanted)}")
    for path in paths(wanted, folder):
        verify(path)
    return folder


def cached(wanted: Wanted) -> Path | None:
    """The cached folder, if it holds every file asked for; asks no network and writes nothing."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(**_arguments(wanted), local_files_only=True))
        paths(wanted, folder)
    except FileNotFoundError:
        return None
    return folder


def paths(wanted: Wanted, folder: Path) -> list[Path]:
    """The files of `wanted` in its folder, sorted; FileNotFoundError for one of `files` that is not there."""
    needed = [path for pattern in wanted.files for path in find_files(folder, pattern)]
    return sorted({*needed, *(path for pattern in wanted.extra for path in folder.glob(pattern))})


# --- is there a hub? --------------------------------------------------------------------------------------------------


def why_no_hub(timeout: float = 3.0) -> str | None:
    """Why the hub cannot be asked, None if it answers within `timeout` seconds (name look-up included).

    HF_ENDPOINT and HF_HUB_OFFLINE are respected.
    """
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            return f"{name} is set"
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    found: list[str | None] = [f"{endpoint} does not answer within {timeout:g} s"]

    def ask() -> None:
        try:
            with urllib.request.urlopen(_head(endpoint), timeout=timeout):
                found.append(None)
        except urllib.error.HTTPError as error:  # it answers, if only to say that HEAD is not for this page
            found.append(f"{endpoint} answers {error.code}" if error.code >= 500 else None)
        except (OSError, ValueError, HTTPException) as error:
            found.append(f"{endpoint} cannot be reached ({error})")

    # A thread, since no timeout bounds the look-up of a name; a daemon, so that it cannot hold up the exit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return found[-1]


def _head(endpoint: str) -> urllib.request.Request:
    """Asks for the headers of a page; user and password in its address go where HTTP has them."""
    parts = urlsplit(endpoint)
    login, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)), method="HEAD")
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(unquote(login).encode()).decode()}")
    return request


def _ways_out(wanted: Wanted) -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    return (
        f"Three ways out: {wanted.local}; a cache that holds it, by HF_HUB_CACHE=DIR (now {HF_HUB_CACHE}; "
        "`dsee-bench fetch` fills one); or network access (a mirror by HF_ENDPOINT=URL, offline mode off)"
    )


# --- downloads --------------------------------------------------------------------------------------------------------


def _arguments(wanted: Wanted) -> dict[str, Any]:
    return {
        "repo_id": wanted.repo,
        "repo_type": wanted.kind,
        "revision": wanted.revision,
        "allow_patterns": [*wanted.files, *wanted.extra],
    }


def _download(wanted: Wanted) -> Path:
    """Tried again where the server broke off by an error of its own, which the client takes for final."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    what = {"model": "model", "dataset": "data set"}[wanted.kind]
    console.info(f"fetching the {what} {wanted}")
    waits = list(WAITS)
    while True:
        try:
            return _snapshot(wanted)
        except RevisionNotFoundError as error:
            raise ValueError(f"the {what} {wanted.repo} has no revision {wanted.revision!r} on the hub") from error
        except RepositoryNotFoundError as error:
            raise ValueError(
                f"there is no {what} {wanted.repo!r} on the hub, or it needs a login (HF_TOKEN)"
            ) from error
        except Exception as error:  # of the client, of its HTTP library, of its transfer library, of the disk
            status = getattr(getattr(error, "response", None), "status_code", 0)
            if status >= 500 and waits:
                time.sleep(waits.pop(0))
                continue
            raise ConnectionError(f"{wanted} could not be fetched: {_reason(error)}. {_ways_out(wanted)}") from error


def _reason(error: Exception) -> str:
    """What went wrong, on one line: the client wraps what it met into advice of its own."""
    met = error.__cause__ or error
    return f"{type(met).__name__}: {(str(met).splitlines() or [''])[0].rstrip('.')}"


def _snapshot(wanted: Wanted) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_DISABLE_PROGRESS_BARS
    from huggingface_hub.utils import enable_progress_bars, get_session

    hooks = get_session().event_hooks["request"]
    if _bound not in hooks:
        hooks.append(_bound)
    if not HF_HUB_DISABLE_PROGRESS_BARS:
        enable_progress_bars()  # loading a model switches them off, for an earlier run of this process say
    bars: list[Any] = []
    try:
        return Path(snapshot_download(**_arguments(wanted), tqdm_class=_bar(bars)))
    finally:
        for bar in bars:  # the client leaves them open, and they would come back below what is printed next
            bar.close()


def _bound(request: Any) -> None:  # httpx's Request
    """Bound a call that has no timeout, as those of the hub's API: a silent server would hold it for ever."""
    limits = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {
        name: SILENCE if limits.get(name) is None else limits[name] for name in ("connect", "read", "write", "pool")
    }


def _bar(made: list[Any]) -> Any:
    """The client's tqdm class, but for two things. It ends a download when the run is asked to stop, where the client
    would finish the file; and where no bar is drawn, it tells now and then of the bytes that came."""
    from huggingface_hub.utils import tqdm

    drawn = console.draws_bars()

    class Bar(tqdm):
        told = time.monotonic()

        def __init__(self, *args: Any, **settings: Any) -> None:
            nowhere = {} if drawn else {"disable": False, "file": io.StringIO()}
            super().__init__(*args, **{**settings, **nowhere, "leave": False})
            made.append(self)

        def update(self, n: float | None = 1) -> bool | None:
            signals.raise_if_stopped()
            return bool(super().update(n))

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            if drawn:
                super().display(msg, pos)
            # The client opens three bars: bytes received, bytes written, files.
            elif self.desc.startswith("Downloading") and time.monotonic() - self.told >= TELL_EVERY:
                self.told = time.monotonic()
                console.info(f"  {self.n / 1e6:.1f} of {(self.total or 0) / 1e6:.1f} MB")

    return Bar
