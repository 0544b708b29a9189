"""The runtime as a process here, as a device runs it beside the live one (`--shadow`).

The controller needs neither numpy nor an engine: it talks to the process as the device tool does.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeform.build.failure import BuildFailed, ModelUnusable
from edgeform_device.control import Control, RuntimeSilent
from edgeform_device.subject import Subject
from edgeform_wire.generation import PipelineUse
from edgeform_wire.pipeline import PipelineFile

START_S = 60.0
STOP_S = 10.0
TREE = "trees/model"
_NO_DIGEST = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeProcess:
    """How to start the runtime here: the interpreter, and the closure's `lib` if not this environment."""

    python: str = sys.executable
    lib: Path | None = None

    @property
    def command(self) -> tuple[str, ...]:
        return (self.python, "-s", "-m", "edgeform_runtime")

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        extra = {} if self.lib is None else {"PYTHONPATH": str(self.lib)}
        return dict(inherited) | {"PYTHONDONTWRITEBYTECODE": "1"} | extra


@contextlib.contextmanager
def shadow(
    prefix: Path, *, engine: str, stages: Mapping[str, object], runtime: RuntimeProcess
) -> Iterator[Subject]:
    """The runtime in shadow mode on the model that lies at TREE below the prefix, until it is not needed.

    Raises:
        ModelUnusable: the runtime refuses the model or the stages. BuildFailed: it does not start.
    """
    file = PipelineFile(
        name="shadow",
        site="build",
        device="build",
        generation=1,
        generation_digest=_NO_DIGEST,
        model_ref="model@build",
        runtime_tree="trees/runtime",
        model_tree=TREE,
        engine=engine,
        stages=dict(stages),
        secrets=(),
    )
    (prefix / "pipeline.json").write_bytes(file.encoded())
    socket_path = prefix / "shadow.sock"
    command = (
        *runtime.command,
        *("--prefix", str(prefix), "--pipeline", "pipeline.json"),
        *("--socket", str(socket_path), "--shadow"),
    )
    log = prefix / "runtime.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env=runtime.environment(os.environ), stdout=stream, stderr=stream
        )
    try:
        _await_ready(process, socket_path, log)
        yield Subject(
            use=PipelineUse(
                name="shadow",
                runtime=_NO_DIGEST,
                model=_NO_DIGEST,
                engine=engine,
                stages=file.stages,
                checks={},
                limits={},
            ),
            model_tree=str(prefix / TREE),
            socket_path=str(socket_path),
            pid=process.pid,
        )
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], socket_path: Path, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(RuntimeSilent), Control(str(socket_path)) as control:
            state = control.state()
            if state.get("phase") == "ready":
                return
            if state.get("phase") == "failed":
                raise ModelUnusable(f"The runtime refuses it: {state.get('last_error')}.")
        if process.poll() is not None:
            raise BuildFailed(
                f"The runtime ended with code {process.returncode}.", address=_last_line(log)
            )
        time.sleep(0.02)
    raise BuildFailed(f"The runtime was not ready within {START_S:g} s.", address=_last_line(log))


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else ""
