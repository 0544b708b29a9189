"""Keeps what the server shows up to date, in threads of its own: looking is slow, reading is quick.

A request never waits for a device. What cannot be read just now (the journal is locked, the site has errors)
leaves the page as it was, with a notice that says why; any other exception ends the server.
"""

import gzip
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from edgeform.errors import EdgeformError
from edgeform.report.fleet import Fleet
from edgeform.report.fleet_page import fleet_page
from edgeform.serve import live_page

READ_S = 1.0
"""How often it is looked whether anything that is read here has changed."""
AT_MOST_A_FIFTH = 4.0
"""After reading, this many times as long as it computed is waited: a large fleet must not take a core."""
REMEMBERED = 32
"""States of which a page may still say that it has them; any other page gets every section."""


class Source(Protocol):
    """Where a fleet comes from."""

    def look(self) -> None:
        """Ask the devices; what they said is part of the next `read`."""

    def read(self) -> Fleet:
        """Everything known now."""

    def mark(self) -> Hashable:
        """Another value when `read` would say something else; cheap."""

    def close(self) -> None:
        """Let go of a look that is under way."""


@dataclass(frozen=True)
class Snapshot:
    """One state of the page; what is sent of it is made when it is first asked for."""

    version: str
    fleet: Fleet
    notice: str

    @cached_property
    def parts(self) -> tuple[live_page.Part, ...]:
        return live_page.parts_of(self.fleet)

    @cached_property
    def digests(self) -> frozenset[str]:
        return frozenset(map(live_page.digest_of, self.parts))

    @cached_property
    def packed(self) -> bytes:
        return _packed(self._whole(still=False))

    @cached_property
    def packed_still(self) -> bytes:
        return _packed(self._whole(still=True))

    @cached_property
    def packed_file(self) -> bytes:
        return _packed(fleet_page(self.fleet))

    def changes(self, known: frozenset[str]) -> str:
        return live_page.changes(self.fleet, self.parts, self.version, self.notice, known)

    def _whole(self, *, still: bool) -> str:
        return live_page.whole(self.fleet, self.parts, self.version, self.notice, still=still)


class Keeper:
    """The newest snapshot, and the threads that make the next one.

    Args:
        every_s: seconds between the end of one look and the next; None never asks a device.
        said: told in one line what each look gave.
        ended: called once, by the thread that met an exception which is a bug.
    """

    def __init__(
        self,
        source: Source,
        *,
        every_s: float | None,
        said: Callable[[str], None],
        ended: Callable[[], None],
        read_s: float = READ_S,
    ) -> None:
        self._source = source
        self._every_s = every_s
        self._said = said
        self._ended = ended
        self._read_s = read_s
        self._closed = threading.Event()
        self._renewed = threading.Event()
        self._lock = threading.Lock()
        self._problems: dict[str, str] = {}
        self._states: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._number = 0
        self._born = f"{time.time_ns():x}"
        self.failed: BaseException | None = None
        self._mark: Hashable = source.mark()
        self._snapshot = self._made(source.read())
        self._threads = [threading.Thread(target=self._guarded, args=(self._reading,), daemon=True)]
        if every_s is not None:
            self._threads.append(
                threading.Thread(target=self._guarded, args=(self._looking,), daemon=True)
            )

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    def digests_of(self, version: str) -> frozenset[str]:
        """Of the sections that a page of this version has; none for a version nobody remembers."""
        return self._states.get(version, frozenset())

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self, *, wait_s: float) -> bool:
        """Ask the threads to end, and say whether they did within this time."""
        self._closed.set()
        self._renewed.set()
        self._source.close()
        until = time.monotonic() + wait_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001  # handed to the main thread, which raises it
            if self._closed.is_set():
                return  # a look that was let go of says whatever it says
            self.failed = exc
            self._ended()

    def _looking(self) -> None:
        while not self._closed.is_set():
            began = time.monotonic()
            if self._tried("looking", self._source.look):
                self._said(f"looked at the devices in {time.monotonic() - began:.1f} s")
            self._renewed.set()
            self._closed.wait(self._every_s)

    def _reading(self) -> None:
        while not self._closed.is_set():
            is_asked = self._renewed.wait(self._read_s)
            if self._closed.is_set():
                return
            self._renewed.clear()
            began = time.thread_time()
            mark = self._source.mark()
            if is_asked or mark != self._mark or "reading" in self._problems:
                self._mark = mark
                self._tried("reading", self._read)
            self._closed.wait(AT_MOST_A_FIFTH * (time.thread_time() - began))

    def _read(self) -> None:
        fleet = self._source.read()
        with self._lock:
            self._problems.pop("reading", None)
            self._snapshot = self._made(fleet)

    def _tried(self, what: str, work: Callable[[], None]) -> bool:
        try:
            work()
        except EdgeformError as exc:
            problem = exc.rendered()
        except OSError as exc:
            problem = f"error: {exc}"
        else:
            with self._lock:
                self._problems.pop(what, None)
            return True
        with self._lock:
            is_new = self._problems.get(what) != problem
            if is_new:
                self._problems[what] = problem
                self._snapshot = self._made(self._snapshot.fleet)
        if is_new:
            self._said(problem)
        return False

    def _made(self, fleet: Fleet) -> Snapshot:
        """The next snapshot, with the page ready to be sent; under the lock once threads run."""
        notice = "\n".join(
            f"What is shown is older: {what} did not work.\n{problem}"
            for what, problem in sorted(self._problems.items())
        )
        self._number += 1
        made = Snapshot(version=f"{self._born}.{self._number}", fleet=fleet, notice=notice)
        self._states[made.version] = made.digests
        _ = made.packed
        while len(self._states) > REMEMBERED:
            self._states.popitem(last=False)
        return made


def _packed(page: str) -> bytes:
    return gzip.compress(page.encode(errors="replace"), compresslevel=5, mtime=0)
