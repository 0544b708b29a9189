"""Goldens as a device asks them, for an engine's closure on a machine that has nothing else of edgeform.

    python3 -s golden_inference.py '{"own": ..., "lib": ..., "model": ..., "engine": ..., "provider": ...}'

Starts the runtime in shadow mode from the closure, lets the device tool's own checks judge, and prints one
JSON object: `ready_s`, `effective`, `checks` (name -> verdict and detail); or `ended`: the exit status and
the last words.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

START_S = 400.0
"""Under emulation: importing an engine and opening a model takes a minute there, and none here."""
WATCHED = "sha256:" + "0" * 64


def main(asked: dict[str, str]) -> dict[str, Any]:
    sys.path.insert(0, asked["own"])
    from edgeform_device.control import Control, RuntimeSilent

    prefix = Path(tempfile.mkdtemp(prefix="efg-"))
    shutil.copytree(asked["model"], prefix / "model")
    stages = {
        "capture": {"kind": "http_push"},
        "preprocess": [],
        "infer": {"model": "probe", "timeout_s": 60.0},
        "postprocess": {"kind": "classify", "top_k": 1},
        "action": [],
        "report": [],
        "runtime": {"threads": 1, "provider": asked["provider"], "precision": "f32"},
    }
    write_pipeline(prefix, asked["engine"], stages)
    socket = str(prefix / "one.sock")
    began = time.monotonic()
    with Path(prefix, "log").open("wb") as log:
        process = subprocess.Popen(
            (
                *(sys.executable, "-s", "-m", "edgeform_runtime", "--prefix", str(prefix)),
                *("--pipeline", "pipeline.json", "--socket", socket, "--shadow"),
            ),
            env={**os.environ, "PYTHONPATH": f"{asked['own']}:{asked['lib']}"},
            stdout=log,
            stderr=log,
        )
    try:
        while time.monotonic() - began < START_S:
            if process.poll() is not None:
                return {"ended": ending(process.returncode), "log": said(prefix)}
            try:
                with Control(socket) as control:
                    state = control.state()
            except RuntimeSilent:
                time.sleep(0.5)
                continue
            if state["phase"] == "failed":
                return {"ended": "failed", "log": [state["last_error"]]}
            if state["phase"] == "ready":
                return {
                    "ready_s": time.monotonic() - began,
                    "effective": state["effective"],
                    "checks": judged(asked["engine"], stages, prefix, socket, process.pid),
                }
            time.sleep(0.5)
        return {"ended": f"not ready in {START_S:g} s", "log": said(prefix)}
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(prefix)


def write_pipeline(prefix: Path, engine: str, stages: dict[str, Any]) -> None:
    from edgeform_wire.pipeline import PipelineFile

    file = PipelineFile(
        name="one",
        site="lab",
        device="one",
        generation=1,
        generation_digest=WATCHED,
        model_ref="probe@1",
        runtime_tree="model",
        model_tree="model",
        engine=engine,
        stages=stages,
        secrets=(),
    )
    (prefix / "pipeline.json").write_bytes(file.encoded())


def judged(
    engine: str, stages: dict[str, Any], prefix: Path, socket: str, pid: int
) -> dict[str, list[str]]:
    from edgeform_device.checks import run_checks
    from edgeform_device.subject import Subject
    from edgeform_wire.generation import PipelineUse

    use = PipelineUse(
        name="one",
        runtime=WATCHED,
        model=WATCHED,
        engine=engine,
        stages=stages,
        checks={"golden": True, "provider": stages["runtime"]["provider"]},
        limits={},
    )
    subject = Subject(use=use, model_tree=str(prefix / "model"), socket_path=socket, pid=pid)
    return {r.name: [r.verdict, r.detail] for r in run_checks(subject)}


def ending(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def said(prefix: Path) -> list[str]:
    return (prefix / "log").read_text(errors="replace").splitlines()[-5:]


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
