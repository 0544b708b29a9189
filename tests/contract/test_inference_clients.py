"""Clients of the Open Inference Protocol that nobody here wrote, unchanged, each a process of its own.

Sources: kserve/open-inference-protocol, specification/protocol/inference_rest.md; the extensions for binary
tensors and statistics in triton-inference-server/server, docs/protocol.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from support.runtime import MODEL, Prefix, a_pipeline_file, goldens, running, some_stages

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = REPOSITORY / ".venv-peers" / "bin" / "python"
CLIENTS = REPOSITORY / "tests" / "cases" / "clients"
CASE = next(c for c in goldens().cases if c.level == "tensor")
TENSOR = MODEL / CASE.inputs[0].path
REFERENCE = np.frombuffer((MODEL / CASE.fp32[0].path).read_bytes(), "<f4")
TOKEN = "a-token-for-these-tests"


@pytest.fixture(scope="module")
def server():
    """A daemon with a token, reached over TCP."""
    folder = Path(tempfile.mkdtemp(prefix="efr-"))
    prefix = Prefix(folder)
    prefix.put_model()
    (folder / "secrets").mkdir()
    (folder / "secrets" / "oip").write_text(TOKEN)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stages = some_stages(serving={"address": "0.0.0.0", "port": port, "token": "oip"})
    path = prefix.put_pipeline(a_pipeline_file(stages=stages, secrets=("oip",)))
    with running(prefix, path):
        yield f"127.0.0.1:{port}"
    shutil.rmtree(folder)


def client(name, address, token=TOKEN):
    if not PYTHON.exists():
        pytest.skip("no .venv-peers here: make peers")
    return subprocess.run(
        (str(PYTHON), str(CLIENTS / name), address, str(TENSOR), token),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
    )


@pytest.mark.parametrize("name", ["triton_client.py", "kserve_client.py"])
def test_a_client_that_nobody_here_wrote_gets_the_references_answer(server, name):
    done = client(name, server)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert found["id"] == "7"
    for form in ("binary", "json", *(["defaults"] if "defaults" in found else [])):
        assert np.allclose(found[form], REFERENCE, atol=1e-3), form
    if name.startswith("triton"):
        assert found["server"]["extensions"] == ["binary_tensor_data", "statistics"]
        assert found["model"]["inputs"] == [
            {"name": "image", "datatype": "FP32", "shape": [1, 1, 64, 64]}
        ]
        (stat,) = found["stats"]["model_stats"]
        assert stat["inference_stats"]["success"]["count"] >= 3
        assert "no model 'nobody'" in found["refused"]


@pytest.mark.parametrize("name", ["triton_client.py", "kserve_client.py"])
def test_without_the_token_a_client_is_told_what_lacks(server, name):
    done = client(name, server, token="")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "401" in said or "token" in said
