"""A site without a network: planned and signed here, carried on a stick, and home again, on a systemd device."""

import io
import json
import re
import secrets
import shlex
import tarfile

import pytest
from support.pages import blocks_of, exchanged
from support.private_system import a_deb
from support.site import PREFIX, SCENES

from edgeform.lab.device import Bind, DeviceOptions
from edgeform_wire import bundle

pytestmark = [pytest.mark.device, pytest.mark.timeout(1200)]

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


def made(site, stick, *, name="far", wanted=0, **environment):
    """Plan, publish, write: what happens at home."""
    plan = str(site.folder / "plan.json")
    planned = site.plan("-l", name, "--out", plan, **environment)
    assert planned.exit_code == wanted, planned.text
    published = site.edgeform("publish", plan, "--site", str(site.folder), **environment)
    assert published.exit_code == 0, published.text
    done = site.edgeform(
        "bundle", "create", "--site", str(site.folder), "-l", name, "--to", str(stick)
    )
    assert done.exit_code == 0, done.text
    proven = site.edgeform("bundle", "verify", str(stick), "--site", str(site.folder))
    assert proven.exit_code == 0, proven.text
    return done


def home(site, stick, *more):
    done = site.edgeform("bundle", "ingest", str(stick), "--site", str(site.folder), *more)
    assert done.exit_code == 0, done.text
    return done


def install(site, created):
    """The first install: a person, a paper, a stick; what the device said."""
    fingerprint = next(
        line.split()[1] for line in created.out.splitlines() if line.strip().startswith("root ")
    )
    site.on("far", "cp", f"{MEDIA}/edgeform/{bundle.TOOL}", "/run/tool.pyz")
    first = ("python3", "-I", "/run/tool.pyz", "--prefix", PREFIX, "bundle", MEDIA)
    words = (*first, "--first-install", "lab/far", "--fingerprint", fingerprint)
    done = json.loads(site.on("far", "sh", "-c", '"$@" || true', "sh", *words, timeout_s=240))
    assert (done.get("outcome"), done.get("returned")) == ("committed", "written"), done
    return done


def carried(site, name, stick):
    """A folder with what is on the stick, on a device that has nothing to plug it into."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(stick, arcname=".")
    unpack = f"rm -rf {MEDIA}; mkdir -p {MEDIA}; tar -x -C {MEDIA}"
    site.on(name, "sh", "-c", unpack, stdin=packed.getvalue())


def brought_back(site, name, stick):
    done = site.lab.host_view(name) / MEDIA.lstrip("/") / "edgeform" / bundle.RETURN
    there = stick / "edgeform" / bundle.RETURN
    there.mkdir(parents=True, exist_ok=True)
    for file in done.iterdir():
        (there / file.name).write_bytes(file.read_bytes())


def test_a_device_whose_network_is_down_is_updated_from_a_folder_and_home_knows_it(site, tmp_path):
    """The short one, for every run; the long ones below begin with a virgin device."""
    stick = tmp_path / "stick"
    stick.mkdir()
    site.want("one", "better", connect={"mode": "offline"})
    site.on("one", "sh", "-c", "for d in /sys/class/net/*; do ip link set ${d##*/} down; done")
    try:
        carried(site, "one", stick)
        assert site.tool("one", "bundle", MEDIA, "--report")["returned"] == "written"
        brought_back(site, "one", stick)
        home(site, stick)
        made(site, stick, name="one")
        before = site.seen("one")
        carried(site, "one", stick)
        done = site.tool("one", "bundle", MEDIA)
        assert (done.get("outcome"), done.get("returned")) == ("committed", "written"), done
        site.assert_serving("one", generation=before.current + 1)
        brought_back(site, "one", stick)
        came = home(site, stick)
        assert "committed\tusb" in came.out, came.text
        known = site.plan("-l", "one", "--detailed-exitcode")
        assert known.exit_code == 0, known.text
    finally:
        site.lab.reboot("one")


@pytest.mark.slow
def test_secrets_drivers_and_findings_travel_by_stick_and_what_fails_is_turned_back(far, tmp_path):
    site, stick = far
    done = install(site, made(site, stick))
    home(site, stick, "--accept-key", f"far={done['enrolled']['code']}")

    canaries = {name: f"canary-{secrets.token_hex(12)}" for name in ("A_CANARY", "B_CANARY")}
    references = {"from-env": "env/A_CANARY", "from-file": "env/B_CANARY"}
    with_drivers(site, a_deb(tmp_path, "edgeform-test-driver", "1.0"), version="1.0")
    site.want("far", "secretive", connect={"mode": "offline"}, secrets=references)
    made(site, stick, **canaries)
    content = b"".join(p.read_bytes() for p in stick.rglob("*") if p.is_file())
    assert not [c for c in canaries.values() if c.encode() in content]
    proven = site.edgeform("bundle", "verify", str(stick), "--site", str(site.folder))
    assert "2 secrets, sealed to key" in proven.out, proven.text
    done = site.tool("far", "bundle", MEDIA)
    assert (done.get("outcome"), done.get("returned")) == ("committed", "written"), done
    site.assert_serving("far", generation=2)
    kept = {s["name"] for s in site.tool("far", "secret", "list")["secrets"]}
    assert kept == set(references)
    assert version_of_driver(site) == "1.0 hold"

    home(site, stick)
    assert site.plan("-l", "far", "--detailed-exitcode", **canaries).exit_code == 0
    with_drivers(
        site, a_deb(tmp_path, "edgeform-test-driver", "2.0"), version="2.0", verify=["false"]
    )
    made(site, stick, **canaries)
    bad = site.tool("far", "bundle", MEDIA)
    assert bad["error"]["code"] == "rolled_back", bad
    assert "The driver packages did not work here" in bad["error"]["detail"], bad
    assert version_of_driver(site).split()[0] == "1.0"
    site.assert_serving("far", generation=2)
    assert site.tool("far", "bundle", MEDIA)["error"]["code"] == "held"

    tree = next(site.file("far", "trees").glob("*/labels.txt")).parent.name
    labels = f"{PREFIX}/trees/{tree}/labels.txt"
    site.on("far", "sh", "-c", f"chattr -i {labels} 2>/dev/null; echo x >> {labels}")
    assert site.tool("far", "drift", "--keep", "--verify", "full")["kept"] == 1
    assert site.tool("far", "bundle", MEDIA, "--report")["returned"] == "written"
    came = home(site, stick)
    assert "rolled_back\tusb" in came.out, came.text
    assert re.search(r"far\tdrift\tgeneration 2\t.*labels\.txt", came.out), came.text
    held = site.plan("-l", "far", **canaries)
    assert "held" in held.out, held.text


def with_drivers(site, deb, *, version, **more):
    """A class whose one driver package travels; locked anew."""
    added = site.edgeform(
        *("store", "add-driver", "camera", version, str(deb), "--site", str(site.folder))
    )
    assert added.exit_code == 0, added.text
    package = {
        "name": "edgeform-test-driver", "version": version, "source": "artifact", "hold": True,
    }  # fmt: skip
    drivers = {"artifact": added.out.strip(), "packages": [package], **more}
    classes = site.folder / "classes.yaml"
    text = classes.read_text().split("  drivers:")[0]
    classes.write_text(f"{text}  drivers: {json.dumps(drivers)}\n")
    locked = site.edgeform("lock", str(site.folder))
    assert locked.exit_code == 0, locked.text


def version_of_driver(site):
    form = "${Version} ${db:Status-Want}"
    return site.on("far", "dpkg-query", "-W", "-f", form, "edgeform-test-driver")


@pytest.mark.slow
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


LAPTOP = "edgeform bundle apply"
"""Not followed here, where nobody reaches the device; tests/unit/cli/test_bundle_verb.py runs it."""


@pytest.mark.slow
def test_the_page_about_sticks_can_be_followed_as_it_is_written(far, tmp_path):
    """Only names and places are exchanged, and `mount`: what is there is a folder of this machine."""
    site, stick = far
    at_home, there, laptop, first, at_home_again = blocks_of("usb-stick.md")
    assert [len(b) for b in (at_home, there, laptop, first, at_home_again)] == [4, 2, 1, 3, 3]
    assert laptop[0].startswith(LAPTOP)
    table = {
        "mount -o nosuid,nodev,noexec /dev/sda1 /media/stick": f"test -d {MEDIA}/edgeform",
        "my-site/cam-07": "lab/far", "my-site": str(site.folder), "cam-07": "far",
        "plan.json": str(tmp_path / "plan.json"), "/mnt/stick": str(stick), "/media/stick": MEDIA,
        "/var/lib/edgeform": PREFIX,
    }  # fmt: skip

    def follow(lines, *, on_the_device=False):
        said = ""
        for written in lines:
            line = exchanged(written, table)
            if on_the_device:
                said += site.on("far", "sh", "-c", line, timeout_s=240)
            else:
                verb, *words = shlex.split(line)
                assert verb == "edgeform", line
                done = site.edgeform(*words)
                assert done.exit_code == 0, (line, done.text)
                said += done.out
        return said

    paper = dict(re.findall(r"^  (root|tool)  (\S+)$", follow(at_home), re.MULTILINE))
    table["0123-4567-89ab-cdef-0123-4567-89ab-cdef"] = paper["root"]
    said = follow(first, on_the_device=True)
    assert said.split()[0].startswith(paper["tool"].replace("-", "")), said
    done = json.loads(said.splitlines()[-1])
    assert done["outcome"] == "committed", done
    table["ABCD-EFGH"] = done["enrolled"]["code"]
    assert "far\treceipt 1\tcommitted\tusb" in follow(at_home_again)

    site.want("far", "better", connect={"mode": "offline"})
    follow(at_home)
    done = json.loads(follow(there, on_the_device=True).splitlines()[-1])
    assert (done["outcome"], done["returned"]) == ("committed", "written"), done
    assert "far\treceipt 2\tcommitted\tusb" in follow(at_home_again[:1])
    assert site.plan("-l", "far", "--detailed-exitcode").exit_code == 0
    site.assert_serving("far", generation=2)
