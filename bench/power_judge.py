"""The real runtime with a good variant live, and the device tool's own judge on it and on candidates.

A wrong file meets the checks in one of two ways: beside the goldens of the good file (a wrong file,
driver or bit), or with goldens that its own publisher recorded from it (a tool chain that is wrong from
end to end); then only the FP32 reference and the labels can tell.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeform_device.checks import run_checks
from edgeform_device.control import Control, RuntimeRefused, RuntimeSilent
from edgeform_device.figures import Watch
from edgeform_device.goldens import answer_to, check_goldens
from edgeform_device.subject import FAIL, Subject
from edgeform_wire import golden
from edgeform_wire.generation import PipelineUse
from edgeform_wire.pipeline import PipelineFile
from edgeform_wire.receipt import CheckResult

READY_S = 120.0
STOP_S = 20.0
CANDIDATE_TREE = "trees/candidate"
_DIGEST = "sha256:" + "0" * 64
_PAUSE_SHARE = 0.05
"""The pauses between windows of the latency check are cut to this share: thousands of runs wait for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A runtime that serves a good variant in shadow mode."""

    prefix: Path
    stages: Mapping[str, object]
    pid: int

    @property
    def socket_path(self) -> str:
        return str(self.prefix / "power.sock")

    def subject(self, tree: str, slot: str, checks: Mapping[str, object]) -> Subject:
        use = PipelineUse(
            name="power",
            runtime=_DIGEST,
            model=_DIGEST,
            engine="onnxruntime",
            stages=dict(self.stages),
            checks=dict(checks),
            limits={},
        )
        return Subject(
            use=use,
            model_tree=str(self.prefix / tree),
            socket_path=self.socket_path,
            pid=self.pid,
            slot=slot,
        )

    def checked(self, checks: Mapping[str, object]) -> tuple[CheckResult, ...]:
        """Every verdict on the good variant that is live."""
        subject = self.subject("trees/model", "live", checks)
        return run_checks(subject, Watch(pause=lambda seconds: time.sleep(seconds * _PAUSE_SHARE)))

    def turned_down(self, candidate: Path, *, own_goldens: bool) -> str:
        """Why a candidate directory is turned down; "" if nothing speaks against it."""
        tree = self.prefix / CANDIDATE_TREE
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(candidate, tree)
        file = _pipeline_file(self.stages, CANDIDATE_TREE, generation=2)
        (self.prefix / "candidate.json").write_bytes(file.encoded())
        subject = self.subject(CANDIDATE_TREE, "candidate", {})
        try:
            with Control(self.socket_path, timeout_s=60.0) as control:
                control.ask({"op": "load", "pipeline_file": "candidate.json"})
                try:
                    if own_goldens:
                        _record(control, subject)
                    results, _ = check_goldens(control, subject)
                finally:
                    control.ask({"op": "free", "slot": "candidate"})
        except RuntimeRefused as exc:
            return f"refused: {exc.detail or exc.summary}"
        return "; ".join(r.detail for r in results if r.verdict == FAIL)


def _record(control: Control, subject: Subject) -> None:
    """Write what the candidate answers as the `variant` references of its goldens."""
    tree = Path(subject.model_tree)
    known = golden.decode((tree / golden.INDEX_PATH).read_bytes())
    for case in known.cases:
        answer = answer_to(control, subject, case)
        for reference in case.variant:
            output = next(o for o in answer.outputs if o.name == reference.name)
            path = tree / reference.path
            path.unlink()
            path.write_bytes(output.content)


@contextlib.contextmanager
def serving(
    model: Path, stages: Mapping[str, object], prefix: Path, threads: int
) -> Iterator[Served]:
    """A runtime on a copy of the model directory, until it is no longer needed."""
    shutil.copytree(model, prefix / "trees" / "model")
    wanted = dict(stages) | {"runtime": {"threads": threads}}
    (prefix / "live.json").write_bytes(
        _pipeline_file(wanted, "trees/model", generation=1).encoded()
    )
    command = (
        *(sys.executable, "-s", "-m", "edgeform_runtime", "--prefix", str(prefix)),
        *("--pipeline", "live.json", "--socket", str(prefix / "power.sock"), "--shadow"),
    )
    with (prefix / "runtime.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _await_ready(process, prefix / "power.sock")
        yield Served(prefix=prefix, stages=wanted, pid=process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], socket_path: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(RuntimeSilent), Control(str(socket_path)) as control:
            if control.state().get("phase") == "ready":
                return
        time.sleep(0.05)
    raise RuntimeError(f"the runtime did not become ready; see {socket_path.parent}/runtime.log")


def _pipeline_file(stages: Mapping[str, object], tree: str, *, generation: int) -> PipelineFile:
    return PipelineFile(
        name="power",
        site="bench",
        device="bench",
        generation=generation,
        generation_digest=_DIGEST,
        model_ref=f"model@{generation}",
        runtime_tree="trees/runtime",
        model_tree=tree,
        engine="onnxruntime",
        stages=dict(stages),
        secrets=(),
    )


@contextlib.contextmanager
def contention(*, is_busy: bool) -> Iterator[None]:
    """Two processes for each core that compute, and one that moves memory, while this holds."""
    compute = "import os\nwhile os.getppid() != 1: sum(i * i for i in range(10000))"
    move = (
        "import os\na = bytearray(400_000_000)\n"
        "while os.getppid() != 1: a = bytes(a); a = bytearray(a)"
    )
    scripts = [compute] * (2 * (os.cpu_count() or 1)) + [move] if is_busy else []
    running = [subprocess.Popen((sys.executable, "-c", script)) for script in scripts]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()
