"""Running one step in a builder's closure: files in, files out, a job and a result as JSON.

The process has a session of its own, a clean environment, no standard input and limits on time and memory;
when it must end, its whole process group ends. Whatever becomes of it, what it says is one `JobResult` or one
error that tells what to do; nothing it wrote is looked at unless it said that it is done.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeform.build.failure import BuildFailed, ModelUnusable
from edgeform.domain.quantities import show_bytes
from edgeform_wire import canonical
from edgeform_wire.errors import WireError

JOB_SCHEMA = "edgeform.job/1"
RESULT_SCHEMA = "edgeform.job_result/1"
JOB_FILE, RESULT_FILE, LOG_FILE = "job.json", "result.json", "log.txt"
LEAST_FREE_BYTES = 64 * 2**20
MOST_NOTES = 10_000
LOOK_S = 0.2

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """What one step may take; memory counts all processes of its group."""

    time_s: float = 3600.0
    memory_bytes: int = 8 * 2**30
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What a step said: the file that it gives (None for steps that give figures), and what it noticed."""

    entry: str | None
    notes: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def run_job(
    python: Path,
    folder: Path,
    job: Mapping[str, Any],
    *,
    what: str,
    limits: JobLimits,
    tell: Tell = lambda _: None,
) -> JobResult:
    """Run one step in its folder, which holds `in/` and gets `out/`.

    Args:
        python: the builder's interpreter. what: the step as messages name it.

    Raises:
        ModelUnusable: the step refuses the model or the data; says why.
        BuildFailed: it crashed, hung, took too much memory, or the disk is full.
    """
    # The step works in its own folder, so what it is told must not depend on ours. Not `resolve`: the
    # interpreter of an environment is a link, and belongs to it only under its own name.
    python, folder = python.absolute(), folder.absolute()
    (folder / "out").mkdir(parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
        raise _disk_full(what, folder)
    document = {
        "schema": JOB_SCHEMA,
        "threads": limits.threads,
        "memory_bytes": limits.memory_bytes,
        **job,
    }
    (folder / JOB_FILE).write_bytes(canonical.encode(document))
    (folder / RESULT_FILE).unlink(missing_ok=True)
    began = time.monotonic()
    end = _run(python, folder, limits, tell)
    result = _result(folder)
    if end.reason is not None or end.code != 0 or result is None:
        raise _failure(what, folder, end, result, limits)
    notes = result.get("notes", [])
    return JobResult(
        entry=result.get("entry"),
        notes=tuple(str(note) for note in notes),
        figures=result.get("figures", {}),
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """How a process ended; `reason` is ours: `time`, `memory`; None when it ended by itself."""

    code: int
    reason: str | None
    most_bytes: int


def _run(python: Path, folder: Path, limits: JobLimits, tell: Tell) -> _End:
    command = (str(python), "-s", "-B", "-m", "edgeform_builder", str(folder))
    with (folder / LOG_FILE).open("wb") as log, _process(command, folder, log) as process:
        listener = threading.Thread(target=_listen, args=(process, tell), daemon=True)
        listener.start()
        deadline = time.monotonic() + limits.time_s
        most, reason = 0, None
        while process.poll() is None:
            most = max(most, _memory_of_group(process.pid))
            if most > limits.memory_bytes:
                reason = "memory"
            elif time.monotonic() > deadline:
                reason = "time"
            if reason:
                _kill_group(process)
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_S)
        code = process.wait()
        _kill_group(process)  # what it left behind
        listener.join(5.0)
    return _End(code=code, reason=reason, most_bytes=most)


@contextmanager
def _process(command: tuple[str, ...], folder: Path, log: Any) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    except OSError as exc:
        raise BuildFailed(
            f"{command[0]} cannot be started: {exc.strerror}.",
            hint="Remove the folder of that builder; it is made again.",
        ) from exc
    try:
        yield process
    finally:
        _kill_group(process)
        process.wait()


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the user's but the path to tools: same inputs, same bytes; no proxies, no tokens."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(folder / "tmp"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": "315532800",
        "ORT_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
    }


def _listen(process: subprocess.Popen[bytes], tell: Tell) -> None:
    """Tell what the step says: each line of its standard output is `{"note": text}`; others are dropped."""
    if process.stdout is None:
        return
    for number, line in enumerate(process.stdout):
        if number >= MOST_NOTES:
            continue  # keep reading, so that it never waits for us
        with contextlib.suppress(WireError):
            said = canonical.decode(line[:4000], "note")
            if isinstance(said, dict) and isinstance(said.get("note"), str):
                tell(said["note"][:300])


def _memory_of_group(leader: int) -> int:
    """Bytes that the process group keeps in memory, shared pages counted once for each process."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == leader:
                total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return total


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _result(folder: Path) -> dict[str, Any] | None:
    """What the step wrote, if that is a whole result."""
    try:
        found = canonical.decode((folder / RESULT_FILE).read_bytes(), "result")
    except (OSError, WireError):
        return None
    if not isinstance(found, dict) or found.get("schema") != RESULT_SCHEMA:
        return None
    return found


def _failure(
    what: str,
    folder: Path,
    end: _End,
    result: Mapping[str, Any] | None,
    limits: JobLimits,
) -> BuildFailed | ModelUnusable:
    error = result.get("error") if result else None
    is_killed = end.code == -signal.SIGKILL and end.reason is None
    if end.reason == "time":
        return BuildFailed(
            f"{what} did not end within {limits.time_s:g} s and was stopped.",
            address=_last_line(folder),
            hint="Give it more time, or less to do:\n    edgeform build --time-limit SECONDS",
        )
    if isinstance(error, dict) and error.get("code") == "refused":
        return ModelUnusable(f"{what}: {error.get('summary', '')}", hint=str(error.get("hint", "")))
    is_memory = isinstance(error, dict) and error.get("code") == "memory"
    if end.reason == "memory" or is_killed or is_memory:
        who = "The kernel stopped it." if is_killed else "It was stopped."
        return BuildFailed(
            f"{what} took too much memory: {show_bytes(end.most_bytes)} when last seen,"
            f" {show_bytes(limits.memory_bytes)} are allowed. {who}",
            hint="Allow more, run fewer at once, or calibrate with fewer samples:\n"
            "    edgeform build --memory-limit 16GiB --jobs 1",
        )
    if isinstance(error, dict) and error.get("code") == "disk":
        return _disk_full(what, folder)
    if end.code < 0:
        name = signal.Signals(-end.code).name
        return BuildFailed(f"{what} crashed ({name}).", address=_last_line(folder))
    detail = error.get("summary") if isinstance(error, dict) else None
    return BuildFailed(
        f"{what} failed: {detail or f'it ended with code {end.code} and left no result'}.",
        address=_last_line(folder),
    )


def _disk_full(what: str, folder: Path) -> BuildFailed:
    return BuildFailed(
        f"{what}: the disk is full.",
        address=str(folder),
        hint="Free some space, and build again; nothing half-written was kept.",
    )


def _last_line(folder: Path) -> str:
    try:
        lines = (folder / LOG_FILE).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:300] if said else ""
