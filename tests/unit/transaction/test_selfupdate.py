"""The tool's own update: proven before, switched by rename, settled by the boot after."""

import io
import zipfile

import pytest
from support import device as devices

from edgeform.build.tool import tool_bytes
from edgeform_device import systemd, toolfile
from edgeform_device.errors import Held, Refused
from edgeform_device.identity import load
from edgeform_device.selfupdate import ToolSlot
from edgeform_wire import digest as digests

NOW = "2026-11-22T00:00:00Z"
OLD = tool_bytes()


def changed(source: str) -> bytes:
    """The tool with a line at the end of its entry."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(OLD)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(
                name, content + source.encode() if name == "edgeform_device/cli.py" else content
            )
    return out.getvalue()


NEWER = changed("# newer\n")
BROKEN = changed("VERBS = {}\n")


class Case:
    """A device with a recovery unit in a folder of its own, and the old tool installed."""

    def __init__(self, folder):
        publisher = devices.a_publisher(folder / "trust")
        self.device = devices.an_enrolled_device(folder / "p", publisher.root)
        self.layout, self.disk = self.device.layout, self.device.disk
        self.units = folder / "units"
        self.units.mkdir()
        self.old = self.put(OLD)
        toolfile.write_command(self.disk, self.layout, self.old)

    def put(self, content):
        digest = digests.of_bytes(content)
        self.disk.write_file(self.layout.tool(digest), content)
        return digest

    def slot(self, running, boot):
        who = load(self.disk, self.layout)
        who = type(who)(**{**vars(who), "services": "systemd", "root": "/"})
        return ToolSlot(self.disk, self.layout, who, boot, running, str(self.units))

    def artifact(self, content):
        self.device.receive(content)
        return devices.an_artifact({"edgeform-device.pyz": content}, kind="tool", name="device")

    @property
    def unit(self):
        return (self.units / systemd.RECOVER_UNIT).read_text()

    @property
    def command(self):
        return self.disk.read(self.layout.command).decode()

    @property
    def tools(self):
        return {n for n in self.disk.names(self.layout.tool_dir) if n.endswith(".pyz")}


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def test_a_tool_that_proves_itself_is_used_and_the_old_one_stands_behind_it(case):
    assert case.slot(case.old, "boot-1").update(case.artifact(NEWER))
    new = digests.of_bytes(NEWER)
    assert digests.hex_of(new) in case.command
    (line,) = [x for x in case.unit.splitlines() if x.startswith("ExecStart=")]
    assert (
        line.index(digests.hex_of(new)) < line.index(" || ") < line.index(digests.hex_of(case.old))
    )
    assert len(case.tools) == 2


def test_the_boot_that_recovered_with_it_removes_the_old_one(case):
    case.slot(case.old, "boot-1").update(case.artifact(NEWER))
    new = digests.of_bytes(NEWER)
    assert case.slot(new, "boot-1").settle(NOW) == "", "not in the same boot"
    assert "recovered" in case.slot(new, "boot-2").settle(NOW)
    assert case.tools == {digests.hex_of(new) + ".pyz"}
    assert "||" not in case.unit
    assert case.slot(new, "boot-2").settle(NOW) == ""


def test_the_boot_that_needed_the_old_one_returns_to_it_and_holds_the_new(case):
    case.slot(case.old, "boot-1").update(case.artifact(NEWER))
    assert "did not recover" in case.slot(case.old, "boot-2").settle(NOW)
    assert digests.hex_of(case.old) in case.command
    assert digests.hex_of(digests.of_bytes(NEWER)) not in case.unit
    with pytest.raises(Held, match="failed here before"):
        case.slot(case.old, "boot-2").update(case.artifact(NEWER))


def test_a_tool_that_does_not_prove_itself_is_not_taken(case):
    with pytest.raises(Refused, match="selftest"):
        case.slot(case.old, "boot-1").update(case.artifact(BROKEN))
    assert digests.hex_of(case.old) in case.command
    assert not (case.units / systemd.RECOVER_UNIT).exists()


def test_the_tool_that_runs_is_not_updated_to_itself(case):
    slot = case.slot(case.old, "boot-1")
    assert not slot.update(case.artifact(OLD))
    assert slot.update(case.artifact(NEWER))
    assert not slot.update(case.artifact(NEWER)), "switched to already"
