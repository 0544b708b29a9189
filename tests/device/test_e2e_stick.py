"""A site without a network: planned and signed here, carried on a stick, and home again, on a systemd device."""

import json

import pytest
from support.site import PREFIX, SCENES

from edgeform.lab.device import Bind, DeviceOptions
from edgeform_wire import bundle

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.timeout(1200)]

MEDIA = "/media/stick"


@pytest.fixture
def far(site_with, tmp_path):
    """A new device that nobody reaches: its network is down, and the spec says so."""
    stick = tmp_path / "stick"
    stick.mkdir()
    site = site_with("far", DeviceOptions(binds=(Bind(source=str(stick), target=MEDIA),)))
    site.reconnect("far", mode="offline")
    scenes = sorted((site.folder / "scenes").glob("*.png"))
    site.on("far", "mkdir", "-p", SCENES)
    for scene in scenes[:3]:
        site.on("far", "dd", f"of={SCENES}/{scene.name}", stdin=scene.read_bytes())
    site.on("far", "sh", "-c", "for d in /sys/class/net/*; do ip link set ${d##*/} down; done")
    return site, stick


def made(site, stick, *, wanted=0):
    """Plan, publish, write: what happens at home."""
    plan = str(site.folder / "plan.json")
    planned = site.plan("-l", "far", "--out", plan)
    assert planned.exit_code == wanted, planned.text
    published = site.edgeform("publish", plan, "--site", str(site.folder))
    assert published.exit_code == 0, published.text
    done = site.edgeform(
        "bundle", "create", "--site", str(site.folder), "-l", "far", "--to", str(stick)
    )
    assert done.exit_code == 0, done.text
    proven = site.edgeform("bundle", "verify", str(stick), "--site", str(site.folder))
    assert proven.exit_code == 0, proven.text
    return done


def home(site, stick, *more):
    done = site.edgeform("bundle", "ingest", str(stick), "--site", str(site.folder), *more)
    assert done.exit_code == 0, done.text
    return done


def test_a_virgin_device_without_a_network_is_installed_updated_and_turned_back_by_stick(far):
    site, stick = far
    assert site.on("far", "ip", "-o", "link", "show", "up") == ""
    created = made(site, stick)
    fingerprint = next(
        line.split()[1] for line in created.out.splitlines() if line.strip().startswith("root ")
    )

    site.on("far", "cp", f"{MEDIA}/edgeform/{bundle.TOOL}", "/run/tool.pyz")
    first = ("python3", "-I", "/run/tool.pyz", "--prefix", PREFIX, "bundle", MEDIA)
    install = (*first, "--first-install", "lab/far", "--fingerprint")
    whatever = ("sh", "-c", '"$@" || true', "sh")
    wrong = json.loads(site.on("far", *whatever, *install, "0" * 32, timeout_s=60))
    assert wrong["error"]["code"] == "not_trusted", wrong
    assert not site.file("far", "state", "device.json").exists()
    done = json.loads(site.on("far", *whatever, *install, fingerprint, timeout_s=240))
    assert (done.get("outcome"), done.get("returned")) == ("committed", "written"), done
    site.assert_serving("far", generation=1)

    came = home(site, stick, "--accept-key", f"far={done['enrolled']['code']}")
    assert "far\treceipt 1\tcommitted\tusb" in came.out, came.text
    known = site.plan("-l", "far", "--detailed-exitcode")
    assert known.exit_code == 0, known.text

    site.want("far", "better", connect={"mode": "offline"})
    planned = site.plan("-l", "far", "--detailed-exitcode")
    assert planned.exit_code == 2, planned.text
    made(site, stick)
    done = site.tool("far", "bundle", MEDIA)
    assert (done.get("outcome"), done.get("returned")) == ("committed", "written"), done
    site.assert_serving("far", generation=2)
    assert site.tool("far", "bundle", MEDIA)["outcome"] == "unchanged"

    home(site, stick)
    site.want("far", "nan-weights", connect={"mode": "offline"})
    made(site, stick)
    bad = site.tool("far", "bundle", MEDIA)
    assert bad["error"]["code"] == "rolled_back", bad
    site.assert_serving("far", generation=2)
    came = home(site, stick)
    assert "rolled_back" in came.out, came.text
    held = site.plan("-l", "far")
    assert "held" in held.out, held.text
    exported = (site.folder / "records" / "far.jsonl").read_bytes()
    assert exported.count(b"\n") == 3
    assert site.on("far", "ip", "-o", "link", "show", "up") == ""
