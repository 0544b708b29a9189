"""`edgeform serve` as a process of its own, and requests to it as anybody could send them."""

import gzip
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

EDGEFORM = str(Path(sys.executable).with_name("edgeform"))
READY_S = 60.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()


def ask(port, path="/", *, method="GET", host=None, address="127.0.0.1", body=None, **headers):
    """One request on a connection of its own; `host` None says what a browser would say."""
    talk = http.client.HTTPConnection(address, port, timeout=30)
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    named["Host"] = f"{address}:{port}" if host is None else host
    try:
        talk.request(method, path, body=body, headers=named)
        answer = talk.getresponse()
        content = answer.read()
        if answer.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, content)
    finally:
        talk.close()


@dataclass
class Serving:
    process: subprocess.Popen
    port: int
    folder: Path

    def ask(self, path="/", **more) -> Answer:
        return ask(self.port, path, **more)

    @property
    def err(self) -> str:
        return (self.folder / "serve.err").read_text()

    @property
    def out(self) -> str:
        return (self.folder / "serve.out").read_text()

    def end(self, number=signal.SIGTERM, within_s=30.0) -> tuple[int, float]:
        """(exit code, seconds it took)."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(within_s), time.monotonic() - began

    def shows(self, text: str) -> str:
        """The page, once it has the text in it."""

        def page():
            found = self.ask().text
            return found if text in found else None

        return self.until(page)

    def until(self, condition, within_s=30.0):
        """The first true answer of the condition; fails when there is none in time."""
        limit = time.monotonic() + within_s
        while not (found := condition()):
            assert self.process.poll() is None, self.err
            assert time.monotonic() < limit, self.err
            time.sleep(0.1)
        return found


@contextmanager
def serving(site: Path, folder: Path, *options: str, **environment: str):
    """The server on a free port; ended by force at the end, if it still runs."""
    folder.mkdir(exist_ok=True)
    with (folder / "serve.out").open("wb") as out, (folder / "serve.err").open("wb") as err:
        process = subprocess.Popen(
            (EDGEFORM, "serve", str(site), "--port", "0", *options),
            stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            env=os.environ | {"NO_COLOR": "1"} | environment, start_new_session=True,
        )  # fmt: skip
    try:
        limit = time.monotonic() + READY_S
        while not (
            found := re.search(
                r"^https?://.+:(\d+)/$", (folder / "serve.out").read_text(), re.MULTILINE
            )
        ):
            assert process.poll() is None, (folder / "serve.err").read_text()
            assert time.monotonic() < limit, (folder / "serve.err").read_text()
            time.sleep(0.05)
        yield Serving(process, int(found[1]), folder)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
