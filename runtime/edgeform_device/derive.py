"""What is built on this device from signed inputs: TensorRT engines, by the runtime's own builder.

A step of the transaction, before anything is switched: it has a limit of its own, its last word stands in
`state/derive.json`, and what it gives is recorded by digest. The builder runs with the closure's Python as
the service would; when it fails or takes too long, the transaction ends and the old generation goes on.
"""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

from edgeform_device.errors import Refused
from edgeform_device.layout import Layout
from edgeform_device.run import interpreter
from edgeform_wire.generation import Generation, PipelineUse

BUILDERS = {"tensorrt": "edgeform_runtime.engines.tensorrt_build"}
"""Modules of the runtime that build, by engine."""
ENDINGS = {"tensorrt": ".onnx"}
LIMIT_S = 3600.0
"""Of one build. Builders say nothing for minutes, so silence is no sign; only the whole has a limit."""
PROGRESS = "derive.json"

Builder = Callable[[Tuple[str, ...], float], Iterator[Dict[str, Any]]]


def derived(
    layout: Layout,
    generation: Generation,
    run: "Optional[Builder]" = None,
    limit_s: float = LIMIT_S,
) -> Dict[str, str]:
    """Digests of what the generation's pipelines need built here, by key; built where it is missing.

    Raises:
        Refused: a builder failed, or took longer than its limit.
    """
    found: Dict[str, str] = {}
    for use in generation.pipelines:
        if use.engine in BUILDERS:
            key, digest = _built(layout, use, run or lines_of, limit_s)
            found[key] = digest
    return found


def _built(layout: Layout, use: PipelineUse, run: Builder, limit_s: float) -> Tuple[str, str]:
    settings = use.stages.get("runtime", {})
    tree = layout.tree(use.model)
    lib = os.path.join(layout.tree(use.runtime), "lib")
    command = (
        *("env", f"PYTHONPATH={lib}", "PYTHONDONTWRITEBYTECODE=1"),
        *(interpreter(layout.tree(use.runtime)), "-s", "-m", BUILDERS[use.engine]),
        *("--model", _entry(tree, ENDINGS[use.engine])),
        *("--cache", layout.derived_dir, "--precision", settings.get("precision") or "f32"),
    )
    last: Dict[str, Any] = {}
    for last in run(command, limit_s):
        _tell(layout, use.name, last)
    if last.get("event") != "built":
        said = last.get("summary") or "it ended without a word"
        raise Refused(f"The {use.engine} engine of {use.name} could not be built here.", str(said))
    return str(last["key"]), str(last["digest"])


def lines_of(command: Tuple[str, ...], limit_s: float) -> Iterator[Dict[str, Any]]:
    """What a builder says, line by line as it says it; `failed` is added when it ends without a result.

    Raises:
        Refused: it cannot be started, or is not done within the limit; it is ended then.
    """
    deadline = time.monotonic() + limit_s
    heard = _Heard(command)
    is_told = False
    try:
        for line in heard.until(deadline):
            found = _object(line)
            is_told = is_told or found.get("event") in ("built", "failed")
            if found:
                yield found
    except queue.Empty:
        raise Refused(
            f"Building on the device took more than its limit of {limit_s:.0f} s.", "It was ended."
        ) from None
    finally:
        heard.end()
    if not is_told:
        yield {"event": "failed", "summary": heard.complaint()}


class _Heard:
    """A process whose words are read as they come; what it complains of is kept."""

    def __init__(self, command: Tuple[str, ...]) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as exc:
            raise Refused(f"`{command[0]}` cannot be run.", str(exc)) from exc
        self._said: queue.Queue[Optional[bytes]] = queue.Queue()
        self._complaint = b""
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._listen, self._drain)
        ]
        for thread in self._threads:
            thread.start()

    def until(self, deadline: float) -> Iterator[bytes]:
        """Its lines, to the last; queue.Empty at the deadline."""
        while True:
            line = self._said.get(timeout=max(0.001, deadline - time.monotonic()))
            if line is None:
                return
            yield line

    def end(self) -> None:
        if self._process.poll() is None:
            # A wrapper may stand before the builder: its whole session goes.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for thread in self._threads:
            thread.join(5)

    def complaint(self) -> str:
        return self._complaint.decode("utf-8", "replace").strip()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self._said.put(line)
        self._said.put(None)

    def _drain(self) -> None:
        for line in self._process.stderr or ():
            self._complaint = (self._complaint + line)[-400:]


def _object(line: bytes) -> Dict[str, Any]:
    """The JSON object of a line; empty for the words of a library that prints."""
    try:
        found = json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _tell(layout: Layout, pipeline: str, line: Dict[str, Any]) -> None:
    """Keep the last word for whoever looks; it is no state, so it is not flushed."""
    path = layout.state(PROGRESS)
    with open(path + ".tmp", "w", encoding="utf-8") as stream:
        json.dump({"pipeline": pipeline, **line}, stream)
    os.replace(path + ".tmp", path)


def _entry(tree: str, ending: str) -> str:
    """The model file, as the runtime chooses it."""
    usual = os.path.join(tree, "model" + ending)
    if os.path.exists(usual):
        return usual
    others = sorted(name for name in os.listdir(tree) if name.endswith(ending))
    if len(others) != 1:
        raise Refused(f"There is no model{ending} in the model artifact.")
    return os.path.join(tree, others[0])
