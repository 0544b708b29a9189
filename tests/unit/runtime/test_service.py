"""What systemd and the device tool see of the process: readiness, watchdog, failure, secrets."""

import contextlib
import os
import signal
import socket
import time

import pytest
from support.badmodels import break_model, too_slow
from support.runtime import MODEL, SCENES, a_pipeline_file, running, some_stages

from edgeform_runtime.errors import SecretMissing
from edgeform_runtime.notify import Notifier
from edgeform_runtime.secrets import secrets_of


@pytest.fixture
def manager(prefix):
    """A socket such as systemd's, with what was told to it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        path = str(prefix.path / "notify")
        sock.bind(path)
        sock.settimeout(20)
        yield path, lambda: sock.recv(4096).decode().splitlines()


def test_ready_watchdog_and_stopping_are_told(prefix, manager):
    path, told = manager
    prefix.put_model()
    environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "300000"}
    environ["WATCHDOG_PID"] = ""
    with running(prefix, prefix.put_pipeline(a_pipeline_file()), environ=environ) as daemon:
        assert told() == ["STATUS=loading digits@1.0.0/f32"]
        assert told() == ["READY=1", "STATUS=serving digits@1.0.0/f32"]
        first = time.monotonic()
        assert [told() for _ in range(3)] == [["WATCHDOG=1"]] * 3
        assert time.monotonic() - first < 3
        daemon.process.send_signal(signal.SIGTERM)
        lines = told()
        while lines == ["WATCHDOG=1"]:
            lines = told()
        assert lines == ["STOPPING=1", "STATUS=draining"]
        assert daemon.process.wait(20) == 0


def test_an_abstract_notify_socket_is_reached():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        name = f"edgeform-test-{os.getpid()}"
        sock.bind("\0" + name)
        sock.settimeout(5)
        Notifier({"NOTIFY_SOCKET": "@" + name}).tell("READY=1")
        assert sock.recv(100) == b"READY=1"


def test_another_processes_watchdog_is_not_ours():
    assert Notifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    assert Notifier({"WATCHDOG_USEC": "1000000"}).watchdog_s == 1.0
    assert Notifier({"WATCHDOG_USEC": "soon"}).watchdog_s is None


def test_a_model_that_cannot_be_loaded_is_seen_as_failed_on_the_socket(prefix):
    prefix.put_model()
    (prefix.path / "trees/model/model.onnx").write_bytes(b"\x80\x04pickled")
    with running(prefix, prefix.put_pipeline(a_pipeline_file()), wait=False) as daemon:
        state = None
        deadline = time.monotonic() + 30
        while state is None or state["phase"] == "loading":
            assert time.monotonic() < deadline
            with contextlib.suppress(OSError):
                state = daemon.state()
        assert state["phase"] == "failed"
        assert "not an ONNX file" in state["last_error"]
        assert daemon.process.wait(30) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "is not JSON"),
        (b'{"schema":"edgeform.pipeline/2"}', "this side speaks"),
        (b"[]", "is not an object"),
    ],
)
def test_a_pipeline_file_of_another_form_is_refused_at_once(prefix, content, words):
    path = prefix.put_pipeline(a_pipeline_file())
    (prefix.path / path).write_bytes(content)
    with running(prefix, path, wait=False) as daemon:
        assert daemon.process.wait(30) == 3
        assert words in daemon.log()[-1]["detail"]


def test_a_prefix_deeper_than_a_socket_address_is_no_obstacle(prefix):
    from edgeform_runtime import sockets

    deep = prefix.path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    path = str(deep / "gate.sock")
    with sockets.listen(path, 0o600) as listening:
        assert os.path.exists(path)
        with sockets._short(path) as address, socket.socket(socket.AF_UNIX) as client:
            client.connect(address)
            listening.accept()[0].close()


def test_a_secret_is_taken_from_the_credentials_directory_or_the_prefix(tmp_path):
    for where in ("credentials", "secrets"):
        (tmp_path / where).mkdir()
        (tmp_path / where / "token").write_bytes(where.encode())
    names = ("token",)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert secrets_of(names, str(tmp_path), environ).value("token") == b"credentials"
    assert secrets_of(names, str(tmp_path), {}).value("token") == b"secrets"
    with pytest.raises(SecretMissing, match="does not name"):
        secrets_of(names, str(tmp_path), {}).value("../token")
    with pytest.raises(SecretMissing, match="'absent' cannot be read"):
        secrets_of(("absent",), str(tmp_path), {}).check()


def test_a_pipeline_without_its_secret_does_not_start(prefix):
    prefix.put_model()
    path = prefix.put_pipeline(a_pipeline_file(secrets=("mqtt-password",)))
    with running(prefix, path, wait=False) as daemon:
        assert daemon.process.wait(30) == 3
        assert daemon.log()[-1]["code"] == "secret"


def test_an_inference_over_its_time_is_a_failed_frame(prefix, tmp_path):
    slow = break_model(MODEL, tmp_path / "slow", lambda m: too_slow(m, rounds=40))
    prefix.put_model(source=slow)
    stages = some_stages(infer={"timeout_s": 0.01, "when_full": "wait"})
    with running(prefix, prefix.put_pipeline(a_pipeline_file(stages=stages))) as daemon:
        daemon.http().post("/v1/frames", (SCENES / "scene-00-digit-8.png").read_bytes())
        state = daemon.wait_for(lambda s: s["frames"]["failed"] == 1)
        assert "over its time" in state["last_error"]
        assert state["phase"] == "ready"


def test_a_stuck_inference_ends_the_process(prefix, tmp_path):
    """The only real way to be stuck is a native call that does not return: a loop of many minutes."""
    prefix.put_model()
    path = prefix.put_pipeline(
        a_pipeline_file(stages=some_stages(infer={"timeout_s": 0.05, "when_full": "wait"}))
    )
    script = (
        "import edgeform_runtime.workers as w, edgeform_runtime.engines.onnxruntime as e, time\n"
        "w.STUCK_MIN_S = 0.5\n"
        "infer = e.OrtSession.infer\n"
        "import os\n"
        "e.OrtSession.infer = lambda self, feeds: (\n"
        "    time.sleep(600) if os.path.exists(os.environ['STUCK']) else infer(self, feeds))\n"
        "import runpy, sys\n"
        "sys.argv = ['edgeform_runtime'] + sys.argv[3:]\n"
        "runpy.run_module('edgeform_runtime', run_name='__main__')\n"
    )
    import sys

    flag = tmp_path / "stuck"
    python = (sys.executable, "-c", script)
    with running(prefix, path, python=python, environ={"STUCK": str(flag)}) as daemon:
        flag.touch()
        daemon.http().post("/v1/frames", (SCENES / "scene-00-digit-8.png").read_bytes())
        assert daemon.process.wait(30) == 70
        assert daemon.log()[-1]["event"] == "inference_stuck"
    with running(prefix, path) as daemon:
        text = daemon.http().get("/metrics")[1].decode()
    assert 'edgeform_stuck_total{pipeline="gate",what="inference"} 1' in text


STUCK_CAMERA = """
import time
import edgeform_runtime.workers as w
w.CAPTURE_STUCK_S = 0.5

class Camera:
    def frames(self, notices):
        notices.found()
        for _ in range(3):
            notices.alive()
            time.sleep(0.4)  # nothing to see for longer than the limit, all in all: that is no failure
        time.sleep(600)  # as a driver that never returns
        yield

w.source_of = lambda stage, place, stop: Camera()
import runpy, sys
sys.argv = ['edgeform_runtime'] + sys.argv[3:]
runpy.run_module('edgeform_runtime', run_name='__main__')
"""


def test_a_stuck_camera_ends_the_process_and_is_counted_by_the_next(prefix, tmp_path):
    import sys

    prefix.put_model()
    stages = some_stages(capture={"kind": "image_directory", "path": str(tmp_path)})
    path = prefix.put_pipeline(a_pipeline_file(stages=stages))
    with running(prefix, path, python=(sys.executable, "-c", STUCK_CAMERA)) as daemon:
        began = time.monotonic()
        assert daemon.process.wait(30) == 70
        assert time.monotonic() - began > 0.8, "a camera that waits is not stuck"
        assert daemon.log()[-1]["event"] == "capture_stuck"
    with running(prefix, path) as daemon:
        text = daemon.http().get("/metrics")[1].decode()
    assert 'edgeform_stuck_total{pipeline="gate",what="capture"} 1' in text


def test_a_thread_that_crashes_is_started_again_and_said(prefix):
    """A fault nobody foresaw (here: in a stage) costs the frame, not the service."""
    import sys

    prefix.put_model()
    path = prefix.put_pipeline(a_pipeline_file())
    script = (
        "import edgeform_runtime.stages.postprocess.classify as p\n"
        "result, seen = p.Classifier.result, []\n"
        "def once(self, outputs, seen_input):\n"
        "    seen.append(1)\n"
        "    return 1 / 0 if len(seen) == 1 else result(self, outputs, seen_input)\n"
        "p.Classifier.result = once\n"
        "import runpy, sys\n"
        "sys.argv = ['edgeform_runtime'] + sys.argv[3:]\n"
        "runpy.run_module('edgeform_runtime', run_name='__main__')\n"
    )
    scene = (SCENES / "scene-00-digit-8.png").read_bytes()
    with running(prefix, path, python=(sys.executable, "-c", script)) as daemon:
        daemon.http().post("/v1/frames", scene)
        daemon.wait_for(lambda s: "ZeroDivisionError" in (s["last_error"] or ""))
        daemon.http().post("/v1/frames", scene)
        state = daemon.wait_for(lambda s: s["frames"]["inferred"] == 1)
        text = daemon.http().get("/metrics")[1].decode()
    assert state["phase"] == "ready"
    assert 'edgeform_thread_restarts_total{pipeline="gate",thread="infer"} 1' in text
