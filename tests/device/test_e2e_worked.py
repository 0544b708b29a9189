"""The worked pipelines of site/factory through the whole line: locked, signed, applied, fed with files, read."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from samples import Sample
from support.runtime import UnixHttp
from support.site import EDGEFORM, Completed, Started
from support.worked import FACTORY, PIPELINES, samples_of

from edgeform.lab.rootless_lab import RootlessLab
from edgeform_wire import golden

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
COUNT = 8
WRONG_ALLOWED = 2
"""Of COUNT samples: the pipelines are measured elsewhere, here it matters that all of the way is right."""
WITHIN_S = 180.0
SITE = """
api_version: edgeform/v1
kind: Site
metadata: {name: bench}
spec:
  registries: [{name: models, kind: directory, path: model}]
  defaults: {transaction: {confirm: controller, confirm_s: 60, deadline_s: 300, soak_s: 1}}
"""


class Bench:
    """The factory's models and pipelines on one unprivileged device, and the folders that feed them."""

    def __init__(self, work: Path, lab: RootlessLab) -> None:
        self.site, self.belt, self.logbook = work / "site", work / "belt", work / "logbook.txt"
        (self.device,) = lab.devices()
        self.prefix = Path(self.device.prefix)
        self.belt.mkdir()
        for folder in ("models", "pipelines", "model"):
            shutil.copytree(FACTORY / folder, self.site / folder)
        for placeholder in ("models/ppe.yaml", "pipelines/ppe-gate.yaml"):
            (self.site / placeholder).unlink()
        scratch = self.site / "pipelines" / "scratch.yaml"
        served = "serving: {address: 0.0.0.0, port: 8002, token: scratch_token}\n  secrets: [scratch_token]"
        assert served in scratch.read_text()
        scratch.write_text(scratch.read_text().replace(served, "serving: {port: 0}"))
        (self.site / "site.yaml").write_text(SITE)
        (self.site / "known_hosts").write_bytes(lab.known_hosts.read_bytes())
        self.write_device()

    def write_device(self) -> None:
        variables = {
            "belt-anchors": {"frames": str(self.belt)},
            "belt-yolo": {"frames": str(self.belt)},
            "logbook": {"logbook": str(self.logbook)},
        }
        device = {
            "name": self.device.name,
            "class": "builtin/linux-x86_64",
            "prefix": self.device.prefix,
            "connect": {
                "host": self.device.host,
                "port": self.device.port,
                "user": self.device.user,
                "key_file": self.device.key_path,
                "known_hosts": "known_hosts",
                "become": "none",
            },
            "pipelines": [{"name": n, "vars": variables.get(n, {})} for n in PIPELINES],
        }
        document = {
            "api_version": "edgeform/v1",
            "kind": "DeviceList",
            "metadata": {"name": "bench"},
            "spec": {"devices": [device]},
        }
        (self.site / "devices.yaml").write_text(json.dumps(document, indent=1))

    def run(self, verb: str, *arguments: str) -> Completed:
        return Started((EDGEFORM, verb, str(self.site), *arguments), os.environ).end(900)

    def records(self, name: str, count: int) -> list[dict]:
        """The first so many results that the device keeps of a pipeline."""
        folder = self.prefix / name / name
        until = time.monotonic() + WITHIN_S
        while True:
            lines = [x for f in sorted(folder.glob("*.jsonl")) for x in f.read_text().splitlines()]
            if len(lines) >= count:
                return [json.loads(line) for line in lines[:count]]
            assert time.monotonic() < until, f"{name}: {len(lines)} of {count} results in {folder}"
            time.sleep(0.2)

    def push(self, name: str, samples: tuple[Sample, ...]) -> None:
        for sample in samples:
            http = UnixHttp(str(self.prefix / "run" / f"{name}.http.sock"))
            status, _, body = http.post("/v1/frames", sample.content)
            assert status == 202, body
            http.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """All of them installed."""
    pytest.importorskip("asyncssh", reason="the extra edgeform[lab] is not installed")
    work = tmp_path_factory.mktemp("worked")
    lab = RootlessLab(work / "lab", environment=os.environ, owner_pid=os.getpid())
    lab.up(("bench",))
    try:
        made = Bench(work, lab)
        locked = made.run("lock")
        assert locked.exit_code == 0, locked.text
        applied = made.run("apply", "--yes")
        assert applied.exit_code == 0, applied.text
        for name in PIPELINES:
            assert f"check {name} golden: pass" in applied.err, applied.err
        yield made
    finally:
        lab.down()


def assert_right(records, samples):
    wrong = [
        (said, sample.line)
        for record, sample in zip(records, samples, strict=True)
        if (said := golden.answer_line(record["result"])) != sample.line
    ]
    assert len(wrong) <= WRONG_ALLOWED, wrong


def test_pictures_in_a_folder_become_boxes_by_both_detectors(bench):
    samples = samples_of("belt-yolo", COUNT)
    for sample in samples:
        (bench.belt / f"{sample.name}.part").write_bytes(sample.content)
        (bench.belt / f"{sample.name}.part").rename(bench.belt / sample.name)
    truth = {sample.name: sample for sample in samples}
    for name in ("belt-anchors", "belt-yolo"):
        records = bench.records(name, COUNT)
        assert_right(records, [truth[record["frame"]] for record in records])


def test_lines_of_a_growing_file_become_entities(bench):
    samples = samples_of("logbook", COUNT)
    with bench.logbook.open("ab") as stream:
        for sample in samples:
            stream.write(sample.content + b"\n")
    assert_right(bench.records("logbook", COUNT), samples)


@pytest.mark.parametrize("name", ["hum", "scratch"])
def test_what_is_posted_becomes_a_verdict(bench, name):
    samples = samples_of(name, COUNT)
    bench.push(name, samples)
    assert_right(bench.records(name, COUNT), samples)


def test_a_model_that_calls_plates_discs_is_turned_back(bench):
    """Good network, good goldens, a labels file in another order: signed, sent, and refused by the device."""
    good, bad = (bench.site / "model" / "belt-yolo" / v for v in ("1.0.0", "1.0.1"))
    shutil.copytree(good, bad)
    (bad / "labels.txt").write_text("plate\ndisc\nwedge\n")
    assert bench.run("lock", "--update", "belt-yolo").exit_code == 0
    refused = bench.run("apply", "--yes")
    assert refused.exit_code == 5, refused.text
    assert "the reference says" in refused.text
    shutil.rmtree(bad)
    assert bench.run("lock", "--update", "belt-yolo").exit_code == 0
    back = bench.run("apply", "--yes")
    assert (back.exit_code, "0 to change" in back.out) == (0, True), back.text
