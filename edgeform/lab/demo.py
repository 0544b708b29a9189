"""The story of `make demo`: a plan, an apply, a bad model, a lost connection, drift, and nothing to do.

Every line of it runs the installed `edgeform` command on lab devices, as a user would; nothing is shown
that did not happen in this run. The lab is removed at the end, whatever happens.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgeform.lab import lab as labs
from edgeform.lab.device import LabDevice, LabKind
from edgeform.lab.failure import LabError
from edgeform.lab.faults import Fault
from edgeform.lab.nspawn import NspawnLab
from edgeform.lab.rootless_lab import RootlessLab
from edgeform.lab.site import copy_site, place_scenes, write_devices

NAMES = ("dev1", "dev2", "dev3")
COMMAND_S = 240.0
ROLLED_BACK, DRIFTED = 5, 2
MODEL = Path("model/digits")
SSH_AWAY_S = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """One line of the table at the end."""

    claim: str
    shown: str
    holds: bool


@dataclass(slots=True, kw_only=True)
class Story:
    """The demo as it goes: a lab, a copied site, and what was proven so far.

    Args:
        say: a line for the person who watches.
    """

    lab: labs.Lab
    site: Path
    say: Callable[[str], None]
    proven: list[Proven] = field(default_factory=list)

    def edgeform(self, *arguments: str, expect: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run a verb, show it and what it prints; the exit code is part of the story."""
        self.say(f"\n$ edgeform {' '.join(arguments)}")
        done = subprocess.run(
            (*_program(), *arguments),
            cwd=self.site.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
            stdin=subprocess.DEVNULL,
        )
        for line in done.stdout.rstrip().splitlines():
            self.say(f"  {line}")
        if done.returncode != expect:
            self.say(f"  (exit {done.returncode}, expected {expect})")
            for line in done.stderr.rstrip().splitlines()[-12:]:
                self.say(f"  ! {line}")
        else:
            self.say(f"  exit {done.returncode}")
        return done

    def prove(self, claim: str, shown: str, *, holds: bool) -> None:
        self.proven.append(Proven(claim=claim, shown=shown, holds=holds))


def tell(source: Path, directory: Path, kind: LabKind | None, say: Callable[[str], None]) -> bool:
    """Tell the whole story; whether all of it held."""
    began = time.monotonic()
    environment = dict(os.environ)
    directory.mkdir(parents=True, exist_ok=True)
    lab = labs.up(
        NAMES,
        kind=kind,
        directory=directory / "lab",
        environment=environment,
        install=True,
        progress=say,
    )
    try:
        devices = lab.devices()
        say(f"lab: {devices[0].kind} ({len(devices)} devices)")
        site = directory / "site"
        shutil.rmtree(site, ignore_errors=True)
        copy_site(source, site)
        ports = write_devices(site, devices, lab.known_hosts)
        story = Story(lab=lab, site=site, say=say)
        for device in devices:
            place_scenes(lab, device, source / "scenes")
        _first_generation(story)
        _results(story, devices, ports)
        _nothing_to_do(story)
        _bad_model(story)
        _lost_connection(story)
        _drift(story, devices)
        _summary(story, time.monotonic() - began)
        return all(p.holds for p in story.proven)
    finally:
        lab.down()


def _program() -> tuple[str, ...]:
    """The edgeform that is installed beside this Python."""
    beside = Path(sys.executable).with_name("edgeform")
    return (str(beside),) if beside.exists() else (sys.executable, "-P", "-m", "edgeform")


def _first_generation(story: Story) -> None:
    story.say("\n--- 1. A site is planned and applied; every device proves it by inference")
    story.edgeform("lock", "site")
    story.edgeform("plan", "site", "--out", "plan.json")
    applied = story.edgeform("apply", "plan.json", "--site", "site", "--yes")
    story.prove(
        "a signed model and its runtime arrive and are proven on each device",
        "apply, exit 0",
        holds=applied.returncode == 0 and applied.stdout.count("committed") == len(NAMES),
    )


def _results(story: Story, devices: tuple[LabDevice, ...], ports: Mapping[str, int]) -> None:
    story.say("\n--- 2. What the devices see, and what they count")
    device = devices[0]
    results = f"{device.prefix}/results"
    script = f"for f in $(find {results} -name '*.jsonl' | head -n 1); do tail -n 3 $f; done"
    lines: list[str] = []
    for _ in _waiting(20.0):
        lines = story.lab.exec(device.name, ("sh", "-c", script)).splitlines()
        if lines:
            break
    for line in lines:
        story.say(f"  {_short(line)}")
    url = f"http://127.0.0.1:{ports[device.name]}/metrics"
    story.say(f"\n{device.name}$ curl {url}")
    ask = f"import urllib.request as r; print(r.urlopen('{url}', timeout=10).read().decode())"
    metrics = story.lab.exec(device.name, ("python3", "-c", ask))
    shown = [x for x in metrics.splitlines() if x.startswith("edgeform_") and "_bucket" not in x]
    for line in shown[:6]:
        story.say(f"  {line}")
    story.prove("it infers on real images", "results and /metrics", holds=bool(lines and shown))


def _nothing_to_do(story: Story) -> None:
    story.say("\n--- 3. Applied again, nothing happens")
    again = story.edgeform("apply", "site", "--yes")
    holds = again.returncode == 0 and "committed" not in again.stdout
    story.prove("applying the same spec again does nothing", "apply, exit 0", holds=holds)


def _bad_model(story: Story) -> None:
    story.say("\n--- 4. Somebody publishes a model with wrong normalisation")
    _new_version(story.site, "1.1.0", story.site / "broken" / "wrong-normalisation.onnx")
    story.edgeform("lock", "site", "--update", "digits")
    applied = story.edgeform("apply", "site", "--yes", expect=ROLLED_BACK)
    story.edgeform("receipts", "site")
    story.prove(
        "a wrong model is found by each device, which keeps or returns to the old one",
        f"apply, exit {applied.returncode}",
        holds=applied.returncode == ROLLED_BACK
        and applied.stdout.count("rolled back") == len(NAMES),
    )
    shutil.rmtree(story.site / MODEL / "1.1.0")


def _lost_connection(story: Story) -> None:
    story.say("\n--- 5. A good version; SSH of dev2 dies in the middle of it")
    _new_version(story.site, "1.2.0", None)
    story.edgeform("lock", "site", "--update", "digits")
    story.say("\n$ edgeform apply site --yes        (and sshd of dev2 is killed meanwhile)")
    process = subprocess.Popen(
        (*_program(), "apply", "site", "--yes"),
        cwd=story.site.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed = False
    try:
        assert process.stderr is not None  # noqa: S101  # asked for above
        for line in process.stderr:
            if "dev2" in line:
                story.say(f"  {line.rstrip()}")
            if not killed and "dev2: " in line and ("lease" in line or "sent" in line):
                killed = True
                with _ssh_gone(story, "dev2"):
                    time.sleep(SSH_AWAY_S)
        out = process.stdout.read() if process.stdout else ""
        process.wait(timeout=COMMAND_S)
    finally:
        process.kill()
        process.wait()
    for line in out.rstrip().splitlines()[-4:]:
        story.say(f"  {line}")
    story.say(f"  exit {process.returncode}")
    story.prove(
        "a device goes on alone when SSH dies, and is confirmed over a new connection",
        f"apply, exit {process.returncode}",
        holds=killed and process.returncode == 0,
    )


def _drift(story: Story, devices: tuple[LabDevice, ...]) -> None:
    story.say("\n--- 6. Somebody changes a file on dev3")
    prefix = devices[2].prefix
    change = (
        f'cd {prefix} && t=$(sed -n \'s/.*"model_tree":"\\([^"]*\\)".*/\\1/p\''
        " current/pipelines/digits-gate.json)"
        ' && chmod u+w "$t/labels.txt" && echo eleven >> "$t/labels.txt" && echo "$t/labels.txt"'
    )
    changed = story.lab.exec("dev3", ("sh", "-c", change)).strip()
    story.say(f"  {changed} was changed by hand")
    found = story.edgeform("drift", "site", expect=DRIFTED)
    story.prove(
        "drift names the file that was changed",
        f"drift, exit {found.returncode}",
        holds=found.returncode == DRIFTED and "labels.txt" in found.stdout,
    )


def _new_version(site: Path, version: str, network: Path | None) -> None:
    """A new version in the registry: another network, or the same one released anew."""
    made = site / MODEL / version
    shutil.copytree(site / MODEL / "1.0.0", made)
    if network is not None:
        shutil.copyfile(network, made / "model.onnx")
    (made / "RELEASE").write_text(f"digits {version}\n")


@contextmanager
def _ssh_gone(story: Story, name: str) -> Iterator[None]:
    """No SSH to one device, existing connections included."""
    match story.lab:
        case NspawnLab():
            script = "systemctl stop ssh; pkill -KILL sshd; true"
            story.lab.exec(name, ("sh", "-c", script))
            yield
            story.lab.exec(name, ("systemctl", "start", "ssh"))
        case RootlessLab():
            story.lab.set_fault(name, Fault(refuse=True))
            yield
            story.lab.set_fault(name, Fault())
        case _:
            raise LabError(f"no way to take SSH from {name} in this lab")


def _waiting(seconds: float) -> Iterator[None]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(0.5)


def _short(line: str) -> str:
    """A result as one short line."""
    try:
        found = json.loads(line)
    except ValueError:
        return line[:120]
    best = (found.get("result") or {}).get("classes") or [{}]
    source = str(found.get("source", found.get("frame", "")))
    return f"{source.rsplit('/', 1)[-1]}: {best[0].get('label')} ({best[0].get('score', 0):.3f})"


def _summary(story: Story, seconds: float) -> None:
    story.say("\n--- What was proven")
    width = max(len(p.claim) for p in story.proven)
    for proven in story.proven:
        story.say(f"  {'yes' if proven.holds else 'NO '}  {proven.claim:<{width}}  {proven.shown}")
    kind = story.lab.devices()[0].kind
    if kind is LabKind.ROOTLESS:
        story.say(
            "  not shown here: systemd services, real sshd, reboot and power cut; as root on Linux"
            " they are"
        )
    story.say(f"\n{seconds:.0f} s on lab: {kind}")
