"""A stand-in for a model hub: the endpoints that huggingface_hub calls to make a repository and commit to it."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

TOKEN = "hf_a_token_that_may_write"


@dataclass
class Repo:
    is_private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


@dataclass
class Hub:
    """What the server holds, and what it was asked: "METHOD path" in order."""

    repos: dict[str, Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    endpoint: str = ""
    yaml_error: str | None = None


@contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.split("?")[0]
            hub.asked.append(f"{self.command} {path}")
            needs_token = not path.startswith("/blob/")
            if needs_token and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.answer(401, {"error": "Invalid credentials in Authorization header"})
                return
            self.answer(*respond(hub, self.command, path, body))

        def do_GET(self) -> None:
            self.handle_any()

        def do_POST(self) -> None:
            self.handle_any()

        def do_PUT(self) -> None:
            self.handle_any()

        def answer(self, status: int, value: Any, code: str | None = None) -> None:
            raw = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            if code:
                self.send_header("X-Error-Code", code)
            self.end_headers()
            self.wfile.write(raw)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def respond(hub: Hub, method: str, path: str, body: bytes) -> tuple[Any, ...]:
    """Status, JSON and, with errors, the code."""
    if path == "/api/whoami-v2":
        return 200, {"type": "user", "name": "anna"}
    if path == "/api/repos/create":
        return create(hub, json.loads(body))
    if path == "/api/validate-yaml":
        errors = [{"message": hub.yaml_error}] if hub.yaml_error else []
        return (400 if errors else 200), {"errors": errors, "warnings": []}
    if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(preupload|commit)/main)?", path):
        repo = hub.repos.get(found[1])
        if repo is None:
            return 404, {"error": "Repository not found"}, "RepoNotFound"
        if found[2] == "preupload":
            return 200, {"files": [upload_mode(file) for file in json.loads(body)["files"]]}
        if found[2] == "commit":
            return commit(hub, found[1], body)
        return 200, {"id": found[1], "private": repo.is_private, "sha": "0" * 40, "tags": [], "siblings": []}
    if path.endswith("/info/lfs/objects/batch"):
        return 200, {"transfer": "basic", "objects": [action(hub, each) for each in json.loads(body)["objects"]]}
    if found := re.fullmatch(r"/blob/([0-9a-f]{64})", path):
        assert method == "PUT"
        assert hashlib.sha256(body).hexdigest() == found[1]
        hub.blobs[found[1]] = body
        return 200, {}
    return 404, {"error": f"no such endpoint: {method} {path}"}


def create(hub: Hub, asked: dict[str, Any]) -> tuple[Any, ...]:
    name = f"{asked.get('organization') or 'anna'}/{asked['name']}"
    if not name.startswith("anna/"):
        return 403, {"error": "You don't have the rights to create a model under that namespace"}
    hub.repos[name] = Repo(asked.get("visibility") == "private" or bool(asked.get("private")))
    return 200, {"url": f"{hub.endpoint}/{name}"}


def upload_mode(file: dict[str, Any]) -> dict[str, Any]:
    mode = "lfs" if file["path"].endswith(".safetensors") else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}


def action(hub: Hub, asked: dict[str, Any]) -> dict[str, Any]:
    return {**asked, "actions": {"upload": {"href": f"{hub.endpoint}/blob/{asked['oid']}"}}}


def commit(hub: Hub, name: str, body: bytes) -> tuple[Any, ...]:
    repo, oid = hub.repos[name], "1" * 40
    for line in body.splitlines():
        each = json.loads(line)
        value = each["value"]
        if each["key"] == "header":
            repo.messages.append(value["summary"])
        elif each["key"] == "file":
            repo.files[value["path"]] = base64.b64decode(value["content"])
        elif each["key"] == "lfsFile":
            repo.files[value["path"]] = hub.blobs[value["oid"]]
    return 200, {"commitUrl": f"{hub.endpoint}/{name}/commit/{oid}", "commitOid": oid, "success": True}
