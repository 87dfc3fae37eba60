"""The hub's own client against a stand-in on this machine: what comes through, what is refused, and how soon.

The client reads its settings when it is imported, so the cases run in processes of their own, many in each.
"""

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from standin_hub import COMMIT, Fault, Repo, StandIn, checksum, environment, nobody

from dsee_bench.hub import why_unreachable

LATER = "89abcdef0123456789abcdef0123456789abcdef"
FILE = "rte/train-00000-of-00001.parquet"
ROWS = bytes(range(256)) * 40
LARGE = ROWS * 2100  # 21.5 MB; the client writes pieces of 10 MB
LIMIT = 5.0  # seconds in which a user without network is to hear so

# Each line of stdin is a data set to get; the client's pauses between its tries are written down, not waited for.
GET = """
import json, logging, sys, time
from dsee_bench import hub
logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("httpx2").setLevel(logging.WARNING)
hub.SILENCE, hub.LOG_EVERY, waits = 0.2, 0.2, []
time.sleep = waits.append
for line in sys.stdin:
    asked = {"kind": "dataset", "files": ["rte/train-*.parquet"], "alternative": "data_dir=DIR", **json.loads(line)}
    began, error = time.monotonic(), None
    waits.clear()
    try:
        folder = str(hub.get(hub.HubFiles(**asked)))
    except Exception as caught:
        folder, error = None, f"{type(caught).__name__}: {caught}"
    print(json.dumps({"folder": folder, "error": error, "waits": waits, "seconds": time.monotonic() - began}))
"""


def get_all(asked, endpoint, home, *, prefix=(), **more):
    """What came of each of these data sets, in one process; and all that it said on stderr."""
    done = subprocess.run(
        [*prefix, sys.executable, "-c", GET],
        input="\n".join(json.dumps(one) for one in asked),
        env=environment(endpoint, home, **more),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def data_set(name, content=ROWS, **more):
    return Repo(
        f"some/{name}", {FILE: content, "README.md": b"what it is", "rte/test-00000-of-00001.parquet": b""}, **more
    )


# --- is there a hub? --------------------------------------------------------------------------------------------------


@pytest.fixture
def online(monkeypatch):
    """huggingface_hub with the network allowed, as it would be imported without the tests' HF_HUB_OFFLINE; a function
    that sets its endpoint."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    return functools.partial(monkeypatch.setattr, "huggingface_hub.constants.ENDPOINT")


ROOTS = [
    # status of the root, why there is no hub
    (200, None),
    (404, None),  # it answers
    (503, "answers 503"),  # a gateway without a hub behind
]


@pytest.mark.parametrize(("status", "reason"), ROOTS)
def test_a_hub_that_answers(status, reason, online):
    with StandIn(root=status) as hub:
        online(hub.endpoint)
        assert why_unreachable() == (reason and f"{hub.endpoint} {reason}")


def test_offline_mode_is_respected():
    assert why_unreachable() == "HF_HUB_OFFLINE is set"


def test_a_closed_port_is_no_hub(online):
    online(nobody())
    assert "cannot be reached" in why_unreachable()


def test_a_silent_hub_is_waited_for_no_longer_than_asked(online):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        online(f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert why_unreachable(timeout=0.3) is not None
        assert time.monotonic() - began < 2


# --- downloads --------------------------------------------------------------------------------------------------------

COMES = [
    # data set, seconds waited between tries, why
    (data_set("fine"), [], "nothing is wrong"),
    (data_set("slow", get={FILE: [Fault(pause=0.4)]}), [], "half a second of silence is no error"),
    (data_set("cut", LARGE, get={FILE: [Fault(cut=15_000_000, pause=1.0)]}), [1], "cut off after a second"),
    (data_set("get-500", get={FILE: [Fault(status=500), Fault(status=503)]}), [1.0, 3.0], "tried again by us"),
    (data_set("head-500", head={FILE: [Fault(status=500), Fault(status=500)]}), [1], "tried again by the client"),
    (data_set("list-500", tree=[Fault(status=500), Fault(status=502)]), [1, 2], "tried again by the client"),
    (data_set("branch", branches=("refs/convert/parquet",)), [], "a name with slashes in place of a commit"),
]
REFUSED = [
    # data set, parts of the message
    (data_set("wrong", get={FILE: [Fault(content=ROWS[::-1])]}), [
        "ValueError: ", "train-00000-of-00001.parquet is not the hub's file",
        f"should be {checksum(FILE, ROWS)}, it is {checksum(FILE, ROWS[::-1])}",
        "delete ", f"/blobs/{checksum(FILE, ROWS)} and run this again",
    ]),
    (data_set("shorter", get={FILE: [Fault(content=ROWS[1:])] * 9}), ["should be of size 10240 but has size 10239"]),
    (data_set("get-404", get={FILE: [Fault(status=404)]}), ["ConnectionError: ", "404 Not Found", "Three ways out: "]),
    (data_set("always-500", get={FILE: [Fault(status=500)] * 9}), ["500 Internal Server Error", "HF_ENDPOINT=URL"]),
    (data_set("silent", tree=[Fault(pause=2.0)] * 9), ["ReadTimeout: timed out"]),
]  # fmt: skip
UNKNOWN = [
    # asked for, message
    ({"repo": "some/thing", "revision": COMMIT}, "no data set 'some/thing' on the hub, or it needs a login (HF_TOKEN)"),
    ({"repo": "some/fine", "revision": LATER}, f"the data set some/fine has no revision '{LATER}' on the hub"),
    ({"repo": "some/fine", "revision": COMMIT, "files": ["sst2/train-*.parquet"]}, "there is no file "),
]


def named(repo):
    return {"repo": repo.name, "revision": next(iter(repo.branches), repo.revision)}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """All of the above, asked for once by one process: what came of each, what was said, and the stand-in."""
    home = tmp_path_factory.mktemp("home")
    cases = [repo for repo, *_ in [*COMES, *REFUSED]]
    asked = [*map(named, cases), *(asked for asked, _ in UNKNOWN)]
    with StandIn(*cases) as hub:
        found, said = get_all(asked, hub.endpoint, home)
    return dict(zip([repo.name for repo in cases], found, strict=False)), found[len(cases) :], said, hub, home


@pytest.mark.parametrize(("repo", "waits", "why"), COMES, ids=[repo.name for repo, *_ in COMES])
def test_what_comes_through(repo, waits, why, served):
    found = served[0][repo.name]
    assert found["error"] is None, why
    files = {str(path.relative_to(found["folder"])): path for path in Path(found["folder"]).rglob("*.*")}
    assert list(files) == [FILE], "what is asked for, nothing else"
    assert files[FILE].read_bytes() == repo.files[FILE]
    assert found["waits"] == waits


def test_a_download_cut_off_goes_on_where_it_was(served):
    asked = [
        part
        for method, path, part in served[3].asked
        if method == "GET" and path.endswith(f"cut/resolve/{COMMIT}/{FILE}")
    ]
    assert asked == [None, "bytes=10485760-"], "one piece of 10 MB was written"


def test_a_download_is_told_of_where_there_is_no_terminal(served):
    said = served[2]
    assert f"fetching the data set some/cut at {COMMIT}" in said
    assert "of 21.5 MB" in said


@pytest.mark.parametrize(("repo", "parts"), REFUSED, ids=[repo.name for repo, _ in REFUSED])
def test_what_is_refused(repo, parts, served):
    for part in parts:
        assert part in served[0][repo.name]["error"]


@pytest.mark.parametrize("position", range(len(UNKNOWN)))
def test_what_is_not_on_the_hub(position, served):
    assert UNKNOWN[position][1] in served[1][position]["error"]


# --- the cache --------------------------------------------------------------------------------------------------------


def test_a_dead_hub_is_not_missed(served):
    """What is cached is taken and checked, at once; what is not is refused at once, with three ways out."""
    found, wrong, branch = (named(repo) for repo in (COMES[0][0], REFUSED[0][0], COMES[-1][0]))
    (known, bad, moved, unknown), _ = get_all(
        [found, wrong, branch, {"repo": "some/other", "revision": COMMIT}], nobody(), served[4]
    )
    assert known["folder"] == served[0]["some/fine"]["folder"]
    assert "is not the hub's file" in bad["error"], "wrong in the cache as well"
    assert moved["folder"] == served[0]["some/branch"]["folder"], "the branch as it was last seen"
    for part in (f"some/other at {COMMIT} is not in the cache", "data_dir=DIR", "HF_HUB_CACHE=DIR", "HF_ENDPOINT=URL"):
        assert part in unknown["error"]
    assert max(one["seconds"] for one in (known, bad, moved, unknown)) < LIMIT


def test_a_branch_is_asked_for_again_and_a_commit_is_not(served, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(served[4], home, symlinks=True)
    blob = next((home / "hub").glob(f"datasets--some--wrong/blobs/{checksum(FILE, ROWS)}"))
    blob.unlink()
    repos = [
        data_set("fine"),
        data_set("wrong"),
        data_set("branch", b"rows", revision=LATER, branches=("refs/convert/parquet",)),
    ]
    with StandIn(*repos) as hub:
        (fine, wrong, branch), _ = get_all(map(named, repos), hub.endpoint, home)
    assert not any("fine" in path for _, path, _ in hub.asked), "a commit in the cache needs no network"
    assert (Path(wrong["folder"]) / FILE).read_bytes() == ROWS, "the way out that the error names"
    assert Path(branch["folder"]).name == LATER
    assert (Path(branch["folder"]) / FILE).read_bytes() == b"rows"
    assert fine["error"] is None


def test_a_cache_that_cannot_be_written(served, tmp_path):
    """What is in it is read; what is not says which folder it is about."""
    home = tmp_path / "home"
    shutil.copytree(served[4], home, symlinks=True)
    for folder in [home, *(path for path in home.rglob("*") if path.is_dir() and not path.is_symlink())]:
        folder.chmod(0o555)
    prefix = ()
    if os.geteuid() == 0:  # permissions bind root only without this capability
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and there is no setpriv to take that from it")
        prefix = ("setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override")
    with StandIn(data_set("fine"), data_set("other")) as hub:
        asked = [{"repo": f"some/{name}", "revision": COMMIT} for name in ("fine", "other")]
        (fine, other), _ = get_all(asked, hub.endpoint, home, prefix=prefix)
    for folder in [home, *home.rglob("*")]:
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o755)  # so that pytest can clear it away
    assert fine["error"] is None
    assert "could not be fetched: PermissionError: " in other["error"]
    assert f"now {home / 'hub'}" in other["error"]
