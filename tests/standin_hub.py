"""A stand-in for the hub on this machine, which speaks its protocol to the real client and can fail in many ways.

The client reads its settings when it is imported: start a process of its own with `environment`.
"""

import base64
import hashlib
import http.server
import json
import os
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".parquet", ".safetensors", ".bin")  # kept outside git, named by their sha256; git's sha1 names the others


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer."""

    status: int | None = None  # answered in place of the file
    cut: int | None = None  # bytes after which the connection breaks off
    pause: float = 0.0  # seconds of silence in the middle, or before the cut
    content: bytes | None = None  # other bytes than those that the checksum names


@dataclass
class Repo:
    name: str
    files: dict[str, bytes]
    kind: str = "dataset"
    revision: str = COMMIT
    private: bool = False
    messages: list[str] = field(default_factory=list)  # of commits that were pushed
    branches: tuple[str, ...] = ()  # other names of the revision
    head: dict[str, list[Fault]] = field(default_factory=dict)  # by file, for the next HEAD requests, one each
    get: dict[str, list[Fault]] = field(default_factory=dict)  # the same for GET
    tree: list[Fault] = field(default_factory=list)  # the same for the list of files


def checksum(name: str, content: bytes) -> str:
    if name.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def environment(endpoint: str, home: Path, **more: str) -> dict[str, str]:
    """A process's environment with this hub, its cache below `home`, and no ban of the network."""
    blocked = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HTTP_PROXY", "http_proxy", "HF_HUB_CACHE")
    kept = {name: value for name, value in os.environ.items() if name not in blocked}
    return kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"} | more


def nobody() -> str:
    """An address on this machine where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


class StandIn:
    """Serves `repos` while the `with` block lasts; `asked` lists the requests as (method, path, Range header).

    Who writes must have the `token`; `forbidden` starts the names of repositories that it may not write to.
    """

    def __init__(self, *repos: Repo, root: int = 200, token: str | None = None, forbidden: str = "nobody/") -> None:
        self.repos = list(repos)
        self.token, self.forbidden = token, forbidden
        self.uploads: dict[str, bytes] = {}  # by sha256
        self.root = root  # status of the root, which tells that there is a hub
        self.asked: list[tuple[str, str, str | None]] = []

    def __enter__(self) -> "StandIn":
        handler = type("Serving", (_Handler,), {"hub": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: StandIn
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.write()

    def do_PUT(self) -> None:
        self.write()

    def write(self) -> None:
        """Answer what the client asks to upload: a new repository, a branch, files, a commit."""
        path = unquote(self.path.split("?")[0])
        self.hub.asked.append((self.command, path, None))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path.startswith("/uploads/"):
            self.hub.uploads[path.removeprefix("/uploads/")] = body
            self.reply(200, b"", {})
        elif path == "/api/validate-yaml":
            self.answer_json({"errors": [], "warnings": []})
        elif self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self.reply(401, b"{}", {})
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        else:
            name = re.sub(r"^/(api/models/)?|(\.git)?/(info|preupload|branch|commit)/.*$", "", path)
            repo = next((repo for repo in self.hub.repos if repo.name == name), None)
            if repo is None:
                self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            else:
                self.change(repo, path, body)

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        found = [repo for repo in self.hub.repos if repo.name == name]
        if name.startswith(self.hub.forbidden):
            self.reply(403, b'{"error": "no rights"}', {})
            return
        if not found:
            private = asked.get("visibility") == "private"
            self.hub.repos.append(Repo(name, {}, kind="model", branches=("main",), private=private))
        self.answer_json({"url": f"{self.hub.endpoint}/{name}"}, 409 if found else 200)

    def change(self, repo: Repo, path: str, body: bytes) -> None:
        if "/branch/" in path:
            repo.branches += (path.rpartition("/")[2],)
            self.answer_json({})
        elif "/preupload/" in path:
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [(name, "lfs" if name.endswith(LARGE) else "regular") for name in names]
            self.answer_json({"files": [{"path": n, "uploadMode": mode, "shouldIgnore": False} for n, mode in modes]})
        elif "/info/lfs/" in path:
            objects = json.loads(body)["objects"]
            urls = [{"upload": {"href": f"{self.hub.endpoint}/uploads/{one['oid']}"}} for one in objects]
            self.answer_json({"objects": [one | {"actions": url} for one, url in zip(objects, urls, strict=True)]})
        else:
            self.commit(repo, [json.loads(line) for line in body.splitlines()])

    def commit(self, repo: Repo, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header":
                    repo.messages.append(value["summary"])
                case "file":
                    repo.files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    repo.files[value["path"]] = self.hub.uploads[value["oid"]]
                case "deletedFile":
                    del repo.files[value["path"]]
        self.answer_json({"commitUrl": f"{self.hub.endpoint}/{repo.name}/commit/{COMMIT}", "commitOid": COMMIT})

    def answer_json(self, content: object, status: int = 200) -> None:
        self.reply(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def answer(self) -> None:
        path = unquote(self.path.split("?")[0])
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        for repo in self.hub.repos:
            prefix = {"model": "models", "dataset": "datasets"}[repo.kind]
            if path == f"/api/{prefix}/{repo.name}":
                self.answer_json({"id": repo.name, "sha": repo.revision, "private": repo.private})
                return
            if path.startswith(f"/api/{prefix}/{repo.name}/"):
                self.answer_api(repo, path.removeprefix(f"/api/{prefix}/{repo.name}/"))
                return
            own = f"/{repo.name}/" if repo.kind == "model" else f"/datasets/{repo.name}/"
            if path.startswith(f"{own}resolve/"):
                self.answer_file(repo, path.removeprefix(f"{own}resolve/"))
                return
        if path in ("/", ""):
            self.reply(self.hub.root, b"", {})
        else:  # as the hub answers where there is no login
            self.reply(401, b"{}", {"X-Error-Code": "RepoNotFound"})

    def answer_api(self, repo: Repo, path: str) -> None:
        asked = re.sub("^(revision|tree)/", "", path)
        if asked not in (repo.revision, *repo.branches):
            self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith("revision/"):
            self.reply(200, json.dumps({"id": repo.name, "sha": repo.revision}).encode(), {})
        else:
            listing = [self.listed(name, content) for name, content in repo.files.items()]
            self.reply(200, json.dumps(listing).encode(), {}, repo.tree.pop(0) if repo.tree else Fault())

    def listed(self, name: str, content: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
        if name.endswith(LARGE):
            entry["lfs"] = {"oid": checksum(name, content), "size": len(content), "pointerSize": 130}
        return entry

    def answer_file(self, repo: Repo, path: str) -> None:
        name = next((name for name in repo.files if path.endswith(f"/{name}")), None)
        if name is None:
            self.reply(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repo.revision})
            return
        content = repo.files[name]
        headers = {"ETag": f'"{checksum(name, content)}"', "X-Repo-Commit": repo.revision, "Accept-Ranges": "bytes"}
        faults = {"HEAD": repo.head, "GET": repo.get}[self.command].get(name, [])
        fault = faults.pop(0) if faults else Fault()
        content = content if fault.content is None else fault.content
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked is None:
            self.reply(200, content, headers, fault)
        else:
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.reply(206, content[start:], headers, fault)

    def reply(self, status: int, content: bytes, headers: dict[str, str], fault: Fault | None = None) -> None:
        fault = fault or Fault()
        if fault.status is not None:
            status, content = fault.status, b""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        try:
            if fault.pause and self.command == "HEAD":
                time.sleep(fault.pause)
            self.end_headers()
            if self.command == "HEAD":
                return
            middle = len(content) // 2 if fault.cut is None else fault.cut
            self.wfile.write(content[:middle])
            time.sleep(fault.pause)
            if fault.cut is not None:
                self.close_connection = True
                return
            self.wfile.write(content[middle:])
        except (BrokenPipeError, ConnectionResetError):  # the client did not wait
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass
