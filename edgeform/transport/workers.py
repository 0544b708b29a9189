"""Worker processes seen from the controller: start one, ask it many things at once, end it.

Plain threads and pipes; no gevent here. A worker that dies or falls silent fails the calls that are
with it, and no others.
"""

import contextlib
import itertools
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO, cast

from edgeform.domain.observed import Unreachability
from edgeform.transport.base import DeviceUnreachable
from edgeform.transport.messages import (
    BEAT_S,
    MAX_BODY_BYTES,
    Alive,
    Answer,
    Request,
    decode_answer,
    encode_request,
)
from edgeform_wire import frames
from edgeform_wire.errors import WireError

SILENT_S = 10 * BEAT_S
"""A worker that has not said Alive for so long has a blocked loop, and is killed."""

STDERR_TAIL_BYTES = 4096


class WorkerDied(Exception):
    """The process ended, or was killed because it fell silent; says which, and its last words."""


_Frame = tuple[bytes, ...]


class Worker:
    """One worker process. Thread-safe."""

    def __init__(self, *, silent_s: float = SILENT_S) -> None:
        self._silent_s = silent_s
        self._process = subprocess.Popen(
            # -P: the caller's directory may hold an `edgeform` of its own.
            (sys.executable, "-P", "-m", "edgeform.transport.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Ctrl-C in the controller's terminal must let devices in flight finish.
            start_new_session=True,
        )
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._calls: dict[int, queue.SimpleQueue[Answer | None]] = {}
        self._outbox: queue.SimpleQueue[_Frame | None] = queue.SimpleQueue()
        self._heard = time.monotonic()
        self._why_dead = ""
        self._was_asked = False
        self._last_words = b""
        self._threads = [
            threading.Thread(target=work, daemon=True, name=f"worker-{self._process.pid}-{label}")
            for work, label in ((self._write, "in"), (self._read, "out"), (self._drain, "err"))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_dead(self) -> bool:
        return bool(self._why_dead)

    @property
    def calls(self) -> int:
        """How many calls are with it now."""
        with self._lock:
            return len(self._calls)

    def ask(self, request: Request, *, at_most_s: float) -> Iterator[Answer]:
        """The answers to one request as they come; the caller stops at the one that ends it.

        Raises:
            WorkerDied: it ended before it answered, fell silent, or had no answer in `at_most_s`.
        """
        header, body = encode_request(request)
        inbox: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        with self._lock:
            if self._why_dead:
                raise WorkerDied(self._why_dead)
            self._was_asked = True
            number = next(self._numbers)
            self._calls[number] = inbox
            if len(self._calls) == 1:
                self._heard = time.monotonic()
        head = frames.head({"id": number, **header}, sum(len(piece) for piece in body))
        self._outbox.put((head, *body))
        try:
            yield from self._answers(inbox, at_most_s)
        finally:
            with self._lock:
                self._calls.pop(number, None)

    def close(self) -> None:
        """End the process: politely, then not."""
        self._outbox.put(None)
        if not self._was_asked:
            # Perhaps still importing; there is nothing it could finish.
            self._process.kill()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._kill("it was closed, and did not end")
            self._process.wait()
        for thread in self._threads:
            thread.join(timeout=5.0)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _answers(
        self, inbox: "queue.SimpleQueue[Answer | None]", at_most_s: float
    ) -> Iterator[Answer]:
        until = time.monotonic() + at_most_s
        while True:
            try:
                answer = inbox.get(timeout=BEAT_S)
            except queue.Empty:
                self._look_after(until, at_most_s)
                continue
            if answer is None:
                raise WorkerDied(self._why_dead)
            until = time.monotonic() + at_most_s
            yield answer

    def _look_after(self, until: float, at_most_s: float) -> None:
        now = time.monotonic()
        if now > until:
            self._kill(f"a call had no answer within {at_most_s:g} s")
        elif now - self._heard > self._silent_s:
            # We may have been the ones who were stopped: give the reader a moment to catch up.
            time.sleep(BEAT_S / 2)
            if time.monotonic() - self._heard > self._silent_s:
                self._kill(f"it said nothing for {self._silent_s:g} s")

    def _kill(self, why: str) -> None:
        with self._lock:
            self._why_dead = self._why_dead or f"The worker process was killed: {why}."
        self._process.kill()

    def _write(self) -> None:
        stdin = cast("BinaryIO", self._process.stdin)
        try:
            while (frame := self._outbox.get()) is not None:
                for part in frame:
                    stdin.write(part)
                stdin.flush()
        except OSError:
            pass  # it died; the reader tells everybody
        with contextlib.suppress(OSError):
            stdin.close()

    def _read(self) -> None:
        stdout = cast("BinaryIO", self._process.stdout)
        try:
            while (frame := frames.read(stdout, MAX_BODY_BYTES)) is not None:
                header, body = frame
                self._heard = time.monotonic()
                answer = decode_answer(header, body)
                if isinstance(answer, Alive):
                    continue
                with self._lock:
                    inbox = self._calls.get(header["id"])
                if inbox is not None:
                    inbox.put(answer)
        except (WireError, OSError, ValueError):
            self._process.kill()
        code = self._process.wait()
        self._threads[2].join(timeout=1.0)
        words = self._last_words.decode("utf-8", "replace").strip()
        with self._lock:
            if not self._why_dead:
                self._why_dead = f"The worker process ended with {code}." + (
                    f" Its last words:\n{words}" if words else ""
                )
            waiting = tuple(self._calls.values())
        for inbox in waiting:
            inbox.put(None)
        self._outbox.put(None)

    def _drain(self) -> None:
        stderr = cast("BinaryIO", self._process.stderr)
        while chunk := stderr.read1(4096):  # type: ignore[attr-defined]
            self._last_words = (self._last_words + chunk)[-STDERR_TAIL_BYTES:]


def unreachable(device: str, died: WorkerDied) -> DeviceUnreachable:
    """A dead worker, as its devices' calls report it."""
    return DeviceUnreachable(
        device,
        Unreachability.PROTOCOL,
        str(died),
        hint="The command may or may not have run. A new worker is started for the next call.",
    )
