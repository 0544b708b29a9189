"""Servers of other people, started for tests on loopback: MLflow, moto, Debian's docker-registry."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

PEERS = Path(__file__).parents[2] / ".venv-peers" / "bin"
START_S = 400.0
"""MLflow imports for 10 s on a quiet machine and was seen to take 90 s on a busy one."""
USER, PASSWORD = "robot", "correct horse"
HTPASSWD = "robot:$2y$04$vNqvbZS9A.kvPPceDxRy9e9VDq8a.LYCaX0VlDxdrWPGyn3lIwgxy\n"
"""bcrypt of PASSWORD, made by `htpasswd -nbBC 4`."""


def peer(name: str) -> str:
    """A program of the peers' environment, or a skip that says how to get it."""
    path = PEERS / name
    if not path.exists():
        pytest.skip(f"no {name} here: make peers")
    return str(path)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@contextmanager
def running(command, url, log: Path, **environment):
    """A server that answers at `url`; ended with the block, by its own process group."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            start_new_session=True,
            cwd=log.parent,
        )
        try:
            _await(process, url, log)
            yield
        finally:
            os.killpg(process.pid, 15)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait(timeout=10)


def _await(process, url, log):
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"it did not start: {' '.join(map(str, process.args))}\n{log.read_text()[-2000:]}")


@contextmanager
def mlflow_server(folder: Path, s3: str = ""):
    """The real server with basic auth; gives its address. `s3` is where its artifacts may also be."""
    port = free_port()
    config = folder / "auth.ini"
    config.write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        f"admin_username = {USER}\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = (
        peer("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "artifacts"), "--app-name", "basic-auth",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with running(
        command,
        f"{url}/health",
        folder / "mlflow.log",
        MLFLOW_AUTH_CONFIG_PATH=str(config),
        MLFLOW_AUTH_ADMIN_USERNAME=USER,
        MLFLOW_AUTH_ADMIN_PASSWORD=PASSWORD,
        MLFLOW_FLASK_SERVER_SECRET_KEY="a-secret-of-this-test",
        MLFLOW_S3_ENDPOINT_URL=s3,
        AWS_ACCESS_KEY_ID="k",
        AWS_SECRET_ACCESS_KEY="s",
        AWS_DEFAULT_REGION="us-east-1",
        DO_NOT_TRACK="1",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
        PATH=f"{PEERS}{os.pathsep}{os.environ['PATH']}",
    ):
        yield url


@contextmanager
def moto_server(folder: Path):
    """S3 and SageMaker; gives its address."""
    port = free_port()
    command = (peer("moto_server"), "-H", "127.0.0.1", "-p", str(port))
    url = f"http://127.0.0.1:{port}"
    with running(command, f"{url}/moto-api/data.json", folder / "moto.log"):
        yield url


@contextmanager
def oci_registry(folder: Path):
    """Debian's docker-registry with a password; gives host:port."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("no docker-registry here: apt-get install docker-registry")
    port = free_port()
    (folder / "htpasswd").write_text(HTPASSWD)
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: warn}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
        f"auth: {{htpasswd: {{realm: models, path: {folder}/htpasswd}}}}\n"
    )
    with running(
        (program, "serve", str(config)), f"http://127.0.0.1:{port}/v2/", folder / "oci.log"
    ):
        yield f"127.0.0.1:{port}"
