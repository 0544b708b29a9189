"""What a question makes the tool read: each module is milliseconds on a small device, at every plan."""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from edgeform.build.tool import build_tool
from edgeform_device import bytecode, services
from edgeform_wire import frames

NOT_FOR_A_QUESTION = ("inspect", "subprocess", "shutil", "urllib", "edgeform_device.trusted")


def run(tool, *arguments):
    return subprocess.run(
        (sys.executable, "-X", "importtime", "-I", "-S", "-B", tool, *arguments),
        capture_output=True,
        text=True,
        check=True,
        input="",
    )


def imported(done):
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.fixture(scope="module")
def tool(tmp_path_factory):
    path, _ = build_tool(tmp_path_factory.mktemp("tool"))
    return path.rename(path.with_suffix(".pyz"))


def test_the_compiled_tool_answers_as_its_source_does_and_reads_less(tool, tmp_path):
    alone = run(tool, "--prefix", tmp_path, "version")
    compiled = bytecode.write(str(tool))
    done = run(tool, "--prefix", tmp_path, "version")
    os.unlink(compiled)
    assert json.loads(done.stdout) == json.loads(alone.stdout)
    assert "inspect" in imported(alone)
    assert "inspect" not in imported(done)


@pytest.mark.parametrize(
    "module", ["edgeform_device.state", "edgeform_device.systemd", "edgeform_device.manifests"]
)
def test_a_question_reads_neither_trust_nor_what_runs_programs(tool, module):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import edgeform_device;"
        "from edgeform_device import bytecode; bytecode.write(sys.argv[1]);"
        "bytecode.use(sys.argv[1]); before = set(sys.modules);"
        f"import {module}; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        (sys.executable, "-I", "-S", "-B", "-c", code, tool),
        capture_output=True,
        text=True,
        check=True,
    )
    assert module in done.stdout.split()
    assert not set(NOT_FOR_A_QUESTION) & set(done.stdout.split())


def test_a_stand_in_becomes_the_module_once_something_of_it_is_asked_for():
    code = (
        "import sys; from edgeform_device import bytecode;"
        "sys.modules['colorsys'] = bytecode._Later('colorsys');"
        "import colorsys; print(colorsys.rgb_to_hsv(0, 0, 0));"
        "from colorsys import hsv_to_rgb; print(sys.modules['colorsys'].__file__ is not None)"
    )
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["(0.0, 0.0, 0)", "True"]


@pytest.fixture
def runtime_socket(tmp_path):
    """A socket in this very process that answers one question as the runtime does."""
    path = str(tmp_path / "gate.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def serve():
            connection, _ = listening.accept()
            with connection, connection.makefile("rwb") as stream:
                frames.read(stream, 1024)
                answer = {"ok": True, "phase": "ready", "last_error": ""}
                frames.write(stream, answer, (), 0)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        yield path
        server.join(5)


def test_the_kernel_names_the_process_that_answers(runtime_socket):
    seen = services.answering(runtime_socket)
    assert seen == services.Answering(os.getpid(), "ready", "")


def test_nobody_answers_where_there_is_no_socket(tmp_path):
    seen = services.answering(str(tmp_path / "gate.sock"))
    assert (seen.pid, seen.phase) == (0, "")
    assert seen.detail


def test_a_process_is_of_the_unit_whose_control_group_it_is_in():
    with open("/proc/self/cgroup", encoding="utf-8") as stream:
        groups = [line.strip().rpartition("/")[2] for line in stream]
    own = next((group for group in groups if group), "")
    if not own:
        pytest.skip("this process is in no control group of its own (the root group)")
    assert services.is_of_unit(os.getpid(), own)
    assert not services.is_of_unit(os.getpid(), own[1:])
    assert not services.is_of_unit(os.getpid(), "edgeform-pipeline@gate.service")
    assert not services.is_of_unit(0, own)
    assert not services.is_of_unit(2**22 + 1, own)
