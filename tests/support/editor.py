"""yaml-language-server as an editor talks to it: over stdio, one document after the other."""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from queue import Empty, Queue
from typing import Self

VERSION = "1.25.0"
ANSWER_S = 60.0


def installed() -> Path | str:
    """The server's program, installed into a cache once; or the reason why it cannot be had."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return "npm and node are not installed"
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = home / "edgeform-tests" / f"yaml-language-server-{VERSION}"
    program = folder / "node_modules" / ".bin" / "yaml-language-server"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = (
            npm,
            "install",
            "--no-fund",
            "--no-audit",
            "--prefix",
            str(folder),
            f"yaml-language-server@{VERSION}",
        )
        found = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        if found.returncode != 0:
            return (
                f"npm cannot install yaml-language-server {VERSION}: {found.stderr.strip()[-200:]}"
            )
    return program


class Editor:
    """A running server; with a schema it checks every YAML file by it; use it as a context."""

    def __init__(self, program: Path, schema: Path | None = None) -> None:
        self._settings = {
            "validate": True,
            "schemaStore": {"enable": False},
            "yamlVersion": "1.2",
            "schemas": {schema.resolve().as_uri(): ["*.yaml"]} if schema else {},
        }
        self._process = subprocess.Popen(
            (str(program), "--stdio"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._answers: Queue = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        options = {"processId": os.getpid(), "rootUri": None, "capabilities": {}}
        self._send({"id": 1, "method": "initialize", "params": options})
        self._wait(lambda m: m.get("id") == 1)
        self._send({"method": "initialized", "params": {}})
        settings = {"settings": {"yaml": self._settings}}
        self._send({"method": "workspace/didChangeConfiguration", "params": settings})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.stdin.close()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def problems(self, paths: list[Path]) -> dict[Path, list[tuple[int, str]]]:
        """What the editor underlines in each file: (line, message), in order."""
        by_uri = {path.as_uri(): path for path in paths}
        for uri, path in by_uri.items():
            document = {"uri": uri, "languageId": "yaml", "version": 1, "text": path.read_text()}
            self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        found = {}
        while len(found) < len(paths):
            message = self._wait(lambda m: m.get("method") == "textDocument/publishDiagnostics")
            path = by_uri.get(message["params"]["uri"])
            if path is not None:
                listed = message["params"]["diagnostics"]
                found[path] = sorted(
                    (d["range"]["start"]["line"] + 1, d["message"]) for d in listed
                )
        return found

    def _send(self, message: dict) -> None:
        body = json.dumps({"jsonrpc": "2.0"} | message).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _wait(self, wanted) -> dict:
        while True:
            try:
                message = self._answers.get(timeout=ANSWER_S)
            except Empty:
                raise TimeoutError("the language server does not answer") from None
            if message.get("method") == "workspace/configuration":
                asked = message["params"]["items"]
                known = {"yaml": self._settings}
                result = [known.get(item.get("section")) for item in asked]
                self._send({"id": message["id"], "result": result})
            elif "id" in message and "method" in message:
                self._send({"id": message["id"], "result": None})
            if wanted(message):
                return message

    def _read(self) -> None:
        stream = self._process.stdout
        while True:
            length = 0
            while line := stream.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            if not length:
                return
            self._answers.put(json.loads(stream.read(length)))
