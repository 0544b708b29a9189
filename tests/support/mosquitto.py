"""A real broker of its own, for tests that speak MQTT."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Broker:
    """A broker on loopback that can be stopped and started; it keeps sessions on disk."""

    folder: Path
    port: int
    settings: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        file = self.folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "persistence true"]
        lines += [f"persistence_location {self.folder}/", *self.settings]
        if not any("allow_anonymous" in line for line in self.settings):
            lines.append("allow_anonymous true")
        file.write_text("\n".join([*lines, "user root", ""]))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen((str(PROGRAM), "-c", str(file)), stderr=log)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "the broker does not listen"
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


@contextlib.contextmanager
def a_broker(folder: Path, *settings: str) -> Iterator[Broker]:
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian package: mosquitto)")
    broker = Broker(folder / "broker", free_port(), settings)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
