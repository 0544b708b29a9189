"""The whole line for tests: a locked copy of site/lab on systemd devices of its own, and the installed CLI.

The site is locked once per session, with good models, heavy ones (for faults in the middle of an upload)
and wrong ones. What a device shall run is chosen by writing `devices.yaml` anew: each choice is another
generation, so that a digest that one test got quarantined is of no importance to the next.
"""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support.badmodels import WRONG, break_model, too_slow

from edgeform.lab.device import DeviceOptions, LabDevice
from edgeform.lab.doctor import doctor, why_not_nspawn
from edgeform.lab.nspawn import NspawnLab
from edgeform.lab.site import SCENES, copy_site
from edgeform.rollout.journal import Journal

REPOSITORY = Path(__file__).resolve().parents[2]
EDGEFORM = str(Path(sys.executable).with_name("edgeform"))
PREFIX = "/var/lib/edgeform"
PIPELINE = "digits-gate"
PORT = 8080
"""Where that pipeline serves unless a test wants another."""
TRANSACTION = {"confirm": "controller", "confirm_s": 30, "deadline_s": 90, "soak_s": 0.5}
MODELS = ("digits", "better", "heavy-1", "heavy-2", "heavy-3")
BAD = (*WRONG, "too_slow")
HEAVY_MIB = 16
SECRETS = ("from-env", "from-file")
"""What the pipeline `secretive` reads."""
NEVER_LEFT = ("txn", "txn.commit", "txn.revert", "lease", "order", "attempt")
"""Files of state/ that nothing may leave behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a command line ended, and what it said."""

    exit_code: int
    out: str
    err: str
    seconds: float

    @property
    def text(self) -> str:
        return f"exit {self.exit_code} in {self.seconds:.1f} s\n{self.out}\n{self.err}"


class Started:
    """`edgeform` under way in a session of its own, as in its own terminal."""

    def __init__(self, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            text=True,
            start_new_session=True,
        )
        self._said: dict[str, list[str]] = {"out": [], "err": []}
        streams = (("out", self._process.stdout), ("err", self._process.stderr))
        self._readers = [
            threading.Thread(target=self._said[name].extend, args=(stream,), daemon=True)
            for name, stream in streams
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def err(self) -> str:
        return "".join(self._said["err"])

    def wait_for(self, condition: Callable[[], object], what: str, within_s: float = 60.0) -> None:
        """Return when the condition holds while the command runs; fails when it ends before."""
        until = time.monotonic() + within_s
        while not condition():
            if not self.is_running:
                pytest.fail(f"edgeform ended before {what}:\n{self.end().text}")
            if time.monotonic() > until:
                self.kill()
                pytest.fail(f"waited {within_s:.0f} s for {what}:\n{self.end().text}")
            time.sleep(0.01)

    def says(self, text: str, within_s: float = 60.0) -> None:
        self.wait_for(lambda: text in self.err, f"it said {text!r}", within_s)

    def interrupt(self) -> None:
        """Ctrl-C: a terminal tells every process of the group."""
        os.killpg(self._process.pid, signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL, to the controller alone: its workers have to notice by themselves."""
        self._process.kill()

    def end(self, timeout_s: float = 240.0) -> Completed:
        """Wait for its end."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
            pytest.fail(f"edgeform did not end within {timeout_s:.0f} s:\n{self.err}")
        for reader in self._readers:
            reader.join(10)
        return Completed(
            exit_code=code,
            out="".join(self._said["out"]),
            err=self.err,
            seconds=time.monotonic() - self._began,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one device shall run; `interval_s` makes two choices different generations."""

    pipeline: str
    interval_s: float
    transaction: tuple[tuple[str, object], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    connect: tuple[tuple[str, object], ...] = ()
    port: int = PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a device says about itself, asked on the device and not through edgeform's transport."""

    current: int
    committed: int
    digest: str
    deployment: int
    quarantine: tuple[str, ...]
    healthy: bool
    receipts: int
    needs_hands: bool
    transaction: object
    raw: Mapping[str, object] = field(compare=False)


@dataclass
class SiteOnDevices:
    """One site folder whose devices are lab devices."""

    folder: Path
    lab: NspawnLab
    devices: dict[str, LabDevice]
    environment: dict[str, str] = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)
    _intervals: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def edgeform(self, *arguments: str, timeout_s: float = 240.0, **environment: str) -> Completed:
        """Run the installed command line to its end."""
        return self.start(*arguments, **environment).end(timeout_s)

    def start(self, *arguments: str, **environment: str) -> Started:
        around = {**os.environ, **self.environment, **environment}
        return Started((EDGEFORM, *arguments), around)

    def plan(self, *arguments: str, **environment: str) -> Completed:
        return self.edgeform("plan", str(self.folder), *arguments, **environment)

    def apply(self, *arguments: str, **environment: str) -> Completed:
        return self.edgeform("apply", str(self.folder), "--yes", *arguments, **environment)

    def start_apply(self, *arguments: str, **environment: str) -> Started:
        return self.start("apply", str(self.folder), "--yes", *arguments, **environment)

    def want(self, name: str, pipeline: str = "digits", **more: object) -> None:
        """Choose what a device shall run: always something it never ran before.

        Args:
            more: connect, secrets, port, and everything else is the transaction's.
        """
        port = int(more.pop("port", PORT))
        connect = tuple(dict(more.pop("connect", {})).items())
        secrets = tuple(dict(more.pop("secrets", {})).items())
        self.choices[name] = Choice(
            pipeline=pipeline,
            interval_s=round(0.5 + next(self._intervals) / 1000, 3),
            transaction=tuple(more.items()),
            port=port,
            connect=connect,
            secrets=secrets,
        )
        self.write()

    def reconnect(self, name: str, **connect: object) -> None:
        """Change only how the device is reached."""
        self.choices[name] = replace(self.choices[name], connect=tuple(connect.items()))
        self.write()

    def write(self) -> None:
        """devices.yaml, as JSON: YAML reads it all the same."""
        entries = [self._entry(name) for name in sorted(self.devices)]
        document = {
            "api_version": "edgeform/v1",
            "kind": "DeviceList",
            "metadata": {"name": "lab"},
            "spec": {"common": {"class": "lab-cpu"}, "devices": entries},
        }
        (self.folder / "devices.yaml").write_text(json.dumps(document, indent=1))
        pinned = "".join(f"{d.known_hosts_line}\n" for d in self.devices.values())
        (self.folder / "known_hosts").write_text(pinned)

    def _entry(self, name: str) -> dict[str, object]:
        device, choice = self.devices[name], self.choices[name]
        use = {
            "name": PIPELINE,
            "pipeline": choice.pipeline,
            "vars": {"scenes": SCENES, "interval_s": choice.interval_s, "port": choice.port},
        }
        connect = {
            "host": device.host,
            "port": device.port,
            "user": device.user,
            "key_file": device.key_path,
        }
        return {
            "name": name,
            "prefix": device.prefix,
            "connect": {**connect, **dict(choice.connect)},
            "transaction": dict(choice.transaction),
            "secrets": {key: {"secret": value} for key, value in choice.secrets},
            "pipelines": [use],
        }

    def on(self, name: str, *command: str, stdin: bytes = b"", timeout_s: float = 60.0) -> str:
        """What a command printed that root ran on the device itself."""
        return self.lab.exec(name, command, stdin=stdin, timeout_s=timeout_s)

    def tool(self, name: str, *arguments: str, stdin: bytes = b"") -> dict[str, object]:
        """The device tool's answer, asked on the device itself."""
        tool = f"{PREFIX}/bin/edgeform-device"
        whatever_it_says = ("sh", "-c", '"$@" || true', "sh")
        said = self.on(name, *whatever_it_says, tool, *arguments, stdin=stdin, timeout_s=120.0)
        return json.loads(said)

    def seen(self, name: str) -> Seen:
        raw = self.tool(name, "state")
        generation = raw["generation"]
        return Seen(
            current=generation["current"] or 0,
            committed=generation["committed"] or 0,
            digest=generation["digest"] or "",
            deployment=generation["deployment"] or 0,
            quarantine=tuple(q["digest"] for q in raw["quarantine"]),
            healthy=[h["state"] for h in raw["health"]] == ["active"],
            receipts=raw["receipts"]["last_seq"],
            needs_hands=bool(raw["needs_hands"]),
            transaction=raw["transaction"],
            raw=raw,
        )

    def file(self, name: str, *parts: str) -> Path:
        """A file below the device's prefix as the host sees it; only to look at."""
        return self.lab.host_view(name).joinpath(PREFIX.lstrip("/"), *parts)

    def is_in_transaction(self, name: str) -> bool:
        """Switched and undecided."""
        return self.file(name, "state", "txn").exists()

    def is_uploading(self, name: str) -> bool:
        """Bytes of an unfinished blob are there."""
        parts = self.file(name, "incoming", ".part")
        try:
            return any(p.stat().st_size for p in parts.iterdir())
        except OSError:
            return False

    def phase(self, name: str) -> str:
        """The last step that the transaction at work has journalled; "" while there is none."""
        try:
            order = json.loads(self.file(name, "state", "order").read_bytes())
            journal = self.file(name, "state", "journal", f"{order['transaction']}.jsonl")
            return json.loads(journal.read_bytes().splitlines()[-1]).get("step", "")
        except (OSError, ValueError, IndexError, KeyError):
            return ""

    def assert_serving(self, name: str, *, generation: int) -> Seen:
        """The device serves that generation and is at rest; gives what it says."""
        found = self.seen(name)
        assert (found.current, found.committed) == (generation, generation), found
        assert not found.transaction, found
        assert not found.needs_hands, found
        assert (
            self.on(name, "systemctl", "is-active", f"edgeform-pipeline@{PIPELINE}") == "active\n"
        )
        checks = self.tool(name, "check")["checks"]
        assert {c["name"] for c in checks} >= {"service", "golden"}, checks
        assert {c["verdict"] for c in checks} == {"pass"}, checks
        left = [f for f in NEVER_LEFT if self.file(name, "state", f).exists()]
        assert not left, left
        wait_for(lambda: not self._units(name), f"{name} to be at rest: {self._units(name)}")
        return found

    def assert_receipts_home(self, name: str) -> list[dict[str, object]]:
        """The journal holds every receipt the device has, unbroken; gives them, oldest first."""
        with Journal(self.folder / ".edgeform" / "journal.db") as journal:
            lines = journal.receipts("lab", name)
        found = [json.loads(line)["receipt"] for line in lines]
        assert [r["seq"] for r in found] == list(range(1, self.seen(name).receipts + 1))
        return found

    def _units(self, name: str) -> str:
        patterns = ("edgeform-transaction-*", "edgeform-guard-*")
        listed = ("systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating")
        return self.on(name, *listed, *patterns).strip()


def wait_for(condition: Callable[[], object], what: str, within_s: float = 60.0) -> None:
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"waited {within_s:.0f} s for {what}")
        time.sleep(0.05)


def write_models(folder: Path) -> None:
    """The registry's folders: models that are right, heavy or wrong, each beside the right goldens."""
    good = folder / "digits" / "1.0.0"
    shutil.copytree(good, folder / "better" / "1.0.0")
    (folder / "better" / "1.0.0" / "labels.txt").write_text(
        (good / "labels.txt").read_text() + "\n"
    )
    for number in (1, 2, 3):
        break_model(good, folder / f"heavy-{number}" / "1.0.0", _heavier(number))
    for name, breaker in {**WRONG, "too_slow": partial(too_slow, rounds=60)}.items():
        break_model(good, folder / name.replace("_", "-") / "1.0.0", breaker)


def _heavier(seed: int) -> Callable[[onnx.ModelProto], None]:
    def add(model: onnx.ModelProto) -> None:
        ballast = np.random.default_rng(seed).random(HEAVY_MIB << 18, np.float32)
        model.graph.initializer.append(numpy_helper.from_array(ballast, "ballast"))

    return add


def write_site(folder: Path) -> None:
    """A copy of site/lab with more models, a pipeline for each, and short times."""
    copy_site(REPOSITORY / "site" / "lab", folder)
    write_models(folder / "model")
    bad = tuple(name.replace("_", "-") for name in BAD)
    models = (folder / "models.yaml").read_text()
    (folder / "models.yaml").write_text(
        "\n---\n".join(
            models.replace("name: digits}", f"name: {name}}}") for name in (*MODELS, *bad)
        )
    )
    text = (folder / "pipelines.yaml").read_text()
    text = text.replace("interval_s: 0.5", 'interval_s: "${vars.interval_s}"')
    text = text.replace("  vars:\n", "  vars:\n    interval_s: {type: number, default: 0.5}\n")
    pipelines = [_pipeline(text, name, name) for name in (*MODELS, *bad)]
    wrong_provider = _pipeline(text, "wrong-provider", "better")
    secretive = _pipeline(text, "secretive", "better")
    pipelines.append(
        secretive.replace("  capture:", f"  secrets: [{', '.join(SECRETS)}]\n  capture:")
    )
    pipelines.append(wrong_provider.replace("CPUExecutionProvider", "CUDAExecutionProvider"))
    # About 80 ms where nothing else runs: so slow that it is found, and not so slow that it takes minutes.
    pipelines = [
        p.replace("p50_ms: 250", "p50_ms: 20") if "too-slow" in p else p for p in pipelines
    ]
    (folder / "pipelines.yaml").write_text("\n---\n".join(pipelines))
    site = (folder / "site.yaml").read_text()
    devices = (folder / "devices.yaml").read_text()
    (folder / "devices.yaml").write_text(devices.replace("{name: digits-gate}", "{name: digits}"))
    before = "transaction: {confirm: controller, confirm_s: 60, deadline_s: 300, soak_s: 2}"
    assert before in site
    (folder / "site.yaml").write_text(
        site.replace(before, f"transaction: {json.dumps(TRANSACTION)}")
    )


def _pipeline(text: str, name: str, model: str) -> str:
    found = text.replace("name: digits-gate}", f"name: {name}}}")
    return found.replace("model: digits,", f"model: {model},")


@pytest.fixture(scope="session")
def locked_site(tmp_path_factory) -> Path:
    """A site with its lock and its store; tests work on copies (`copy_locked`)."""
    folder = tmp_path_factory.mktemp("site") / "lab"
    write_site(folder)
    done = subprocess.run(
        (EDGEFORM, "lock", str(folder)), capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def copy_locked(source: Path, target: Path) -> Path:
    """A copy whose stored objects are shared by hard links, and nothing else."""

    def copy(one: str, other: str) -> str:
        if f"{os.sep}store{os.sep}" in one:
            os.link(one, other)
            return other
        return shutil.copy2(one, other)

    shutil.copytree(source, target, copy_function=copy)
    return target


@pytest.fixture(scope="session")
def site_lab(tmp_path_factory) -> Iterator[NspawnLab]:
    """The lab that these tests share; apart from the one that tests of the lab itself use."""
    if obstacles := why_not_nspawn(doctor(os.environ)):
        pytest.skip(f"systemd devices are not possible here: {obstacles}")
    built = NspawnLab(
        tmp_path_factory.mktemp("site-lab") / "lab", environment=os.environ, owner_pid=os.getpid()
    )
    built.up(("one", "two"))
    yield built
    built.down()


@pytest.fixture(scope="session")
def first_apply() -> list[Completed]:
    """What the session's first apply said: filled by `site`, read by the test about it."""
    return []


@pytest.fixture(scope="session")
def installed(site_lab, locked_site, tmp_path_factory, first_apply) -> SiteOnDevices:
    """Two devices on which the session's first apply has installed everything."""
    folder = copy_locked(locked_site, tmp_path_factory.mktemp("installed") / "lab")
    devices = {d.name: d for d in site_lab.devices()}
    choices = {name: Choice(pipeline="digits", interval_s=0.5) for name in devices}
    built = SiteOnDevices(folder=folder, lab=site_lab, devices=devices, choices=choices)
    for name in devices:
        scenes = sorted((folder / "scenes").glob("*.png"))
        built.on(name, "mkdir", "-p", SCENES)
        for scene in scenes[:3]:
            built.on(name, "dd", f"of={SCENES}/{scene.name}", stdin=scene.read_bytes())
    built.write()
    first_apply.append(built.apply())
    assert first_apply[0].exit_code == 0, first_apply[0].text
    return built


@pytest.fixture
def site(installed) -> Iterator[SiteOnDevices]:
    """The session's site, its devices on and at rest.

    Whatever a test left to be wanted is forgotten: a test that wants a device says so.
    """
    for name in installed.devices:
        if not installed.lab.is_on(name):
            installed.lab.boot(name)
    yield installed
    for name, choice in installed.choices.items():
        # A pipeline that reads secrets without being given any would make the whole site invalid.
        pipeline = "digits" if choice.secrets else choice.pipeline
        installed.choices[name] = replace(
            choice, pipeline=pipeline, connect=(), transaction=(), secrets=()
        )
    installed.write()


@pytest.fixture
def site_with(installed, tmp_path) -> Iterator[Callable[..., SiteOnDevices]]:
    """site_with("name", DeviceOptions(...)): a site of its own with one fresh, odd device."""
    made: list[str] = []

    def make(name: str, options: DeviceOptions | None = None) -> SiteOnDevices:
        device = installed.lab.add(name, options)
        made.append(name)
        folder = copy_locked(installed.folder, tmp_path / "site")
        found = SiteOnDevices(
            folder=folder,
            lab=installed.lab,
            devices={**installed.devices, name: device},
            choices={**installed.choices, name: Choice(pipeline="digits", interval_s=0.5)},
        )
        found.write()
        return found

    yield make
    for name in made:
        with contextlib.suppress(Exception):
            installed.lab.remove(name)
