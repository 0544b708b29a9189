"""What a running machine is told from outside (QMP): devices come and go, its state is kept."""

import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from edgeform.lab.failure import LabError

ANSWER_TIMEOUT_S = 60.0


class Monitor:
    """A connection to one qemu; every answer is awaited for at most `ANSWER_TIMEOUT_S`."""

    def __init__(self, path: Path) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        # What was reported while an answer was awaited: an event may come before the answer.
        self._events: list[Mapping[str, object]] = []
        try:
            self._connection.settimeout(ANSWER_TIMEOUT_S)
            self._connection.connect(str(path))
            self._lines = self._connection.makefile("rb")
            self._read()
            self.tell("qmp_capabilities")
        except OSError as exc:
            self._connection.close()
            raise LabError(f"The machine's monitor {path} does not answer: {exc}.") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._connection.close()

    def tell(self, command: str, **arguments: object) -> object:
        """What qemu answered.

        Raises:
            LabError: it refused, with its own words, or fell silent.
        """
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        request = {"execute": command, "arguments": named}
        try:
            self._connection.sendall(json.dumps(request).encode() + b"\n")
            while True:
                answer = self._read()
                if "error" in answer:
                    raise LabError(f"qemu refused {command}: {_words(answer['error'])}")
                if "return" in answer:
                    return answer["return"]
                self._events.append(answer)
        except OSError as exc:
            raise LabError(f"qemu did not answer {command}: {exc}.") from exc

    def tell_human(self, line: str) -> None:
        """A command that only the monitor for people has; it answers nothing when all is well."""
        said = self.tell("human-monitor-command", command_line=line)
        if said:
            raise LabError(f"qemu refused {line!r}: {said}")

    def wait_for(self, event: str, *, device: str, timeout_s: float) -> None:
        """Return when the event was reported for that device, now or since the connection began."""
        until = time.monotonic() + timeout_s
        try:
            while not any(_is(event, device, said) for said in self._events):
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self._connection.settimeout(left)
                self._events.append(self._read())
        except TimeoutError as exc:
            raise LabError(f"Waited {timeout_s:g} s in vain for {event} of {device}.") from exc
        finally:
            self._connection.settimeout(ANSWER_TIMEOUT_S)

    def _read(self) -> Mapping[str, object]:
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("qemu closed the connection")
        answer = json.loads(line)
        if not isinstance(answer, Mapping):
            raise LabError(f"qemu said what nobody understands: {line[:200]!r}")
        return answer


def _is(event: str, device: str, said: Mapping[str, object]) -> bool:
    about = said.get("data")
    return (
        said.get("event") == event and isinstance(about, Mapping) and about.get("device") == device
    )


def _words(error: object) -> str:
    return str(error.get("desc", error)) if isinstance(error, Mapping) else str(error)
