"""Where frames come from: files of a directory, or what is posted to the runtime's own server."""

import fnmatch
import os
import stat
import threading
import time
from typing import Callable, Iterator, List, Optional, Set

from edgeform_runtime.frames import Frame
from edgeform_runtime.logs import log
from edgeform_runtime.pipeline.capture import ImageDirectory
from edgeform_runtime.stages.contract import Notices
from edgeform_runtime.stages.preprocess import MAX_ENCODED_BYTES

EMPTY_WAIT_S = 0.2
MISSING_WAIT_S = 2.0


class DirectorySource:
    """Takes the files of a directory, one per interval, oldest name first.

    `keep` plays them again and again; `delete` and `move` take each file once, and only when the pipeline
    is through with it, so that a crash loses none. Files that cannot be read are passed over and said.
    """

    def __init__(self, stage: ImageDirectory, prefix: str, stop: threading.Event) -> None:
        self._stage = stage
        self._path = os.path.join(prefix, stage.path)
        self._stop = stop
        self._taken: Set[str] = set()
        self._lock = threading.Lock()
        self._is_missing = False

    def frames(self, notices: Notices) -> Iterator[Frame]:
        """Frames until the stop event."""
        sequence = 0
        names: List[str] = []
        while not self._stop.is_set():
            if not names:
                names = self._list()
                if not names:
                    self._stop.wait(MISSING_WAIT_S if self._is_missing else EMPTY_WAIT_S)
                    continue
            name = names.pop(0)
            content = self._read(name, notices)
            if content is None:
                continue
            sequence += 1
            yield Frame(
                sequence=sequence,
                name=name,
                content=content,
                captured_at=time.time(),
                captured=time.monotonic(),
                finish=self._finisher(name),
            )
            self._stop.wait(self._stage.interval_s)

    def _list(self) -> List[str]:
        try:
            found = os.listdir(self._path)
        except OSError as exc:
            if not self._is_missing:
                log("warning", "capture_source_missing", path=self._path, reason=exc.strerror)
            self._is_missing = True
            return []
        self._is_missing = False
        with self._lock:
            taken = set(self._taken)
        names = fnmatch.filter(found, self._stage.pattern)
        return sorted(n for n in names if n not in taken and not n.startswith("."))

    def _read(self, name: str, notices: Notices) -> Optional[bytes]:
        path = os.path.join(self._path, name)
        try:
            # A pipe or a device that someone put there must not block the capture thread.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as stream:
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    reason = "not_a_file"
                else:
                    content = stream.read(MAX_ENCODED_BYTES + 1)
                    if len(content) <= MAX_ENCODED_BYTES:
                        with self._lock:
                            self._taken.add(name)
                        return content
                    reason = "too_large"
        except FileNotFoundError:
            return None
        except OSError:
            reason = "unreadable"
        log("warning", "capture_failed", name=name, reason=reason)
        notices.failed(reason)
        self._stop.wait(max(self._stage.interval_s, EMPTY_WAIT_S))
        return None

    def _finisher(self, name: str) -> Callable[[str], None]:
        def finish(outcome: str) -> None:
            try:
                self._dispose(name, outcome)
            except OSError as exc:
                # It stays in `_taken`: better one file left over than one played for ever.
                log("warning", "capture_dispose_failed", name=name, reason=exc.strerror)
                return
            with self._lock:
                self._taken.discard(name)

        return finish

    def _dispose(self, name: str, outcome: str) -> None:
        path = os.path.join(self._path, name)
        if self._stage.after == "delete":
            os.unlink(path)
        elif self._stage.after == "move":
            aside = os.path.join(self._path, "failed" if outcome == "failed" else "done")
            os.makedirs(aside, exist_ok=True)
            os.replace(path, os.path.join(aside, name))
