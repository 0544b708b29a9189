"""A plan for a device that nobody reaches: from its last report, else from its class; never from a damaged file."""

import json
from types import SimpleNamespace

import pytest
from support import device as devices

from edgeform.bundle.records import as_of, decode_report, last_known
from edgeform.domain.drivers import DriverTuple
from edgeform.domain.hardware import Engine, HardwareClass, OperatingSystem, RuntimeChoice
from edgeform.domain.observed import Observed
from edgeform.errors import Corrupt
from edgeform_device import generations, reporting
from edgeform_device.records import Committed, State
from edgeform_device.session import open_session
from edgeform_wire import bundle
from edgeform_wire.deployment import Policy
from edgeform_wire.digest import of_bytes

HARDWARE = HardwareClass(
    name="jetson", lineage=("jetson",), arch="aarch64", os=OperatingSystem(id="ubuntu", version="22.04"),
    accelerator="nvidia-jetson", runtime=RuntimeChoice(engine=Engine.ONNXRUNTIME), glibc="2.35",
    python="3.10", drivers=DriverTuple(),
)  # fmt: skip
FAR = SimpleNamespace(name="cam-1", hardware=HARDWARE, require_clock=False)


def report_of(device):
    files = reporting.report(open_session(str(device.prefix), "/", None))
    return files[bundle.return_name("cam-1", "state.json")]


def test_a_device_that_never_reported_is_what_its_class_says():
    seen = last_known(FAR, None)
    assert isinstance(seen, Observed)
    assert (seen.committed, seen.tool, seen.root_digest) == (0, None, None)
    assert (seen.facts.arch, seen.facts.python, seen.facts.glibc) == ("aarch64", "3.10", "2.35")
    assert [a.state for a in seen.facts.accelerators] == ["ready"]
    assert "never reported" in as_of(None)


def test_a_report_is_the_same_answer_as_over_a_connection(device):
    document = report_of(device)
    seen = last_known(FAR, document)
    assert isinstance(seen, Observed)
    assert seen.root_digest is not None
    assert seen.last_receipt == 0
    key = (device.prefix / "state/device.pub").read_text()
    assert decode_report(document).signed_by(key)
    assert "after receipt 0" in as_of(document)


def test_a_report_says_what_its_deployment_has_the_device_look_for(device, tmp_path):
    """So that a plan at home can tell what is in place of the parts that never travel."""
    there = tmp_path / "60-camera.rules"
    there.write_text("x")
    asks = (("files", (str(there), "/no/such.rules")), ("sysctl", ("kernel.ostype",)))
    content = devices.a_generation(devices.a_model(), devices.an_artifact(devices.RUNTIME_FILES))
    deployment = devices.a_deployment(content, policy=Policy(asks=asks))
    generations.write(device.disk, device.layout, 1, deployment, "usb")
    committed = Committed(generation=1, digest=content.digest, deployment=1, transaction="t")
    State(device.disk, device.layout).write_committed(committed)
    facts = last_known(FAR, report_of(device)).facts
    assert dict(facts.files) == {str(there): of_bytes(b"x"), "/no/such.rules": ""}
    assert dict(facts.sysctl) == {"kernel.ostype": "Linux"}


@pytest.mark.parametrize("change", ["text", "field", "schema"])
def test_a_damaged_report_is_named_and_not_planned_from(device, change):
    value = json.loads(report_of(device))
    if change == "field":
        value["report"]["extra"] = 1
    elif change == "schema":
        value["report"]["schema"] = "other/1"
    document = b"<<<<<<< HEAD" if change == "text" else json.dumps(value).encode()
    with pytest.raises(Corrupt, match=r"last report of cam-1") as caught:
        last_known(FAR, document)
    assert caught.value.address == "records/cam-1.state.json"
