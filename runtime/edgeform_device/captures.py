"""Capture files on this device: listed, made, read in pieces, removed. They leave it only when a person asks.

The folder belongs to the user that runs the pipeline, and this tool may be root: links are never followed,
and nothing is read that is not a plain file with a capture's name and beginning.
"""

import base64
import os
import stat
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Tuple

from edgeform_device import generations
from edgeform_device.cli import number, options
from edgeform_device.control import Control, RuntimeRefused, RuntimeSilent
from edgeform_device.errors import DeviceError, Refused, Usage
from edgeform_device.layout import Layout, check_name
from edgeform_device.session import Session
from edgeform_wire.capture import FILE_NAME, FOLDER, MAGIC

PIECE_BYTES = 4 * 1024 * 1024
MAX_LISTED = 1000
RESULTS_ONLY = "results_only"
MAKE_S = 60.0
FAILURE_S = 3.0
"""A rollback must not wait for what may be what hangs."""


def capture(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """`list`, `make --pipeline NAME`, `read --pipeline NAME --file NAME --offset N`, `drop`."""
    verbs = {"list": _list, "make": _make, "read": _read, "drop": _drop}
    if not arguments or arguments[0] not in verbs:
        raise Usage("capture takes " + ", ".join(f"`{name}`" for name in verbs) + ".")
    session.identity()
    return verbs[arguments[0]](session, arguments[1:])


def on_failure(layout: Layout, name: str, socket_path: str, reason: str, detail: str) -> None:
    """Have a pipeline that failed its checks keep what it saw; that it cannot is no failure of ours."""
    if not os.path.isdir(layout.results(name)):
        return
    try:
        with Control(socket_path, FAILURE_S) as control:
            control.ask({"op": "dump", "reason": reason, "detail": detail[:500]})
    except (RuntimeSilent, RuntimeRefused):
        return  # it records nothing, or is what failed


def _list(session: Session, arguments: List[str]) -> Dict[str, Any]:
    chosen = options(arguments, {"pipeline": ""})
    names = [chosen["pipeline"]] if chosen["pipeline"] else _pipelines(session.layout)
    found: List[Dict[str, Any]] = []
    for name in names:
        for file, status in _files(session.layout, check_name(name)):
            found.append({"pipeline": name, "file": file, "size_bytes": status.st_size})
    return {"captures": sorted(found, key=lambda entry: str(entry["file"]))[-MAX_LISTED:]}


def _make(session: Session, arguments: List[str]) -> Dict[str, Any]:
    chosen = options(arguments, {"pipeline": "", "who": "local"})
    name = check_name(chosen["pipeline"])
    try:
        with Control(session.layout.socket(name), MAKE_S) as control:
            answer, _ = control.ask({"op": "dump", "reason": "request", "detail": chosen["who"]})
    except RuntimeRefused as exc:
        raise Refused(
            f"Pipeline {name} made no capture.",
            detail=exc.detail,
            hint="A pipeline keeps frames only when its spec says so:\n"
            "    recording: {frames: 32}     # Pipeline",
        ) from exc
    session.say(f"{chosen['who']} made a capture of pipeline {name}: {answer.get('name')}")
    return {
        "pipeline": name,
        "file": _checked(str(answer.get("name"))),
        "size_bytes": answer.get("size_bytes"),
        "frames": answer.get("frames"),
    }


def _read(session: Session, arguments: List[str]) -> Dict[str, Any]:
    chosen = options(arguments, {"pipeline": "", "file": "", "offset": "0"})
    name, file = check_name(chosen["pipeline"]), _checked(chosen["file"])
    offset = number(chosen["offset"], "offset")
    _check_egress(session, name)
    with _folder(session.layout, name) as folder:
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError as exc:
            raise Refused(f"There is no capture {file} of pipeline {name} any more.") from exc
        with open(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or stream.read(len(MAGIC)) != MAGIC:
                raise Refused(f"{file} is no capture.")
            stream.seek(offset)
            content = stream.read(PIECE_BYTES)
    if offset == 0:
        session.say(f"capture {file} of pipeline {name} is read by the controller")
    return {
        "size_bytes": status.st_size,
        "offset": offset,
        "content": base64.b64encode(content).decode("ascii"),
    }


def _check_egress(session: Session, name: str) -> None:
    """Let inputs leave only where the generation that runs allows it.

    Raises:
        Refused: its site says `egress: results_only`.
    """
    current = generations.current(session.disk, session.layout)
    if current is None:
        return
    uses = generations.read(session.disk, session.layout, current).pipelines
    if any(use.name == name and use.stages.get("egress") == RESULTS_ONLY for use in uses):
        raise Refused(
            f"Pipeline {name} gives results only, so its captures stay on the device.",
            detail="A capture holds inputs, and the site says `egress: results_only`.",
            hint="Look at it on the device, or write `egress: open` on the Site, publish and apply.",
        )


def _drop(session: Session, arguments: List[str]) -> Dict[str, Any]:
    chosen = options(arguments, {"pipeline": "", "file": ""})
    name, file = check_name(chosen["pipeline"]), _checked(chosen["file"])
    with _folder(session.layout, name) as folder:
        try:
            os.unlink(file, dir_fd=folder)
        except FileNotFoundError:
            return {"dropped": False}
    return {"dropped": True}


def _pipelines(layout: Layout) -> List[str]:
    try:
        return sorted(os.listdir(layout.results_dir))
    except FileNotFoundError:
        return []


def _files(layout: Layout, name: str) -> Iterator[Tuple[str, os.stat_result]]:
    try:
        with _folder(layout, name) as folder:
            for file in sorted(os.listdir(folder)):
                status = os.stat(file, dir_fd=folder, follow_symlinks=False)
                if FILE_NAME.match(file) and stat.S_ISREG(status.st_mode):
                    yield file, status
    except (DeviceError, FileNotFoundError):
        return


@contextmanager
def _folder(layout: Layout, name: str) -> Iterator[int]:
    """The folder of a pipeline's captures, opened step by step so that no link leads elsewhere."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        above = os.open(layout.results(name), flags)
        try:
            found = os.open(FOLDER, flags, dir_fd=above)
        finally:
            os.close(above)
    except OSError as exc:
        raise Refused(f"Pipeline {name} has no captures on this device.") from exc
    try:
        yield found
    finally:
        os.close(found)


def _checked(file: str) -> str:
    if not FILE_NAME.match(file):
        raise Usage(f"{file!r:.80} is not what a capture is called.")
    return file
