"""`edgeform bundle` on a site here: made, proven, brought home; every lie on the stick has its exit code."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from support import device as devices
from support.device import MODEL_FILES, RUNTIME_FILES, a_model, an_artifact
from support.here import write_receipt
from support.stick import files_of

from edgeform.cli.trusting import open_site_trust
from edgeform.cli.workspace import Workspace
from edgeform.store.artifacts import Artifacts
from edgeform.store.objects import Objects
from edgeform_device import driftlog, signing
from edgeform_device.durable import Disk
from edgeform_device.identity import short_code
from edgeform_device.layout import layout_for
from edgeform_wire import digest as digests
from edgeform_wire import receipt as wire
from edgeform_wire.finding import Finding
from edgeform_wire.generation import Generation


@pytest.fixture
def published(here, tmp_path):
    """A site whose device here-1 is enrolled, with a deployment that is signed and not yet anywhere."""
    assert here.run("enroll", "here-1", "--json").code == 0
    workspace = Workspace(site_dir=here.site)
    artifacts = Artifacts(Objects(workspace.store_dir))
    refs = []
    trust = open_site_trust(workspace, "lab", may_create=False)
    for artifact, files in (
        (a_model(), MODEL_FILES),
        (an_artifact(RUNTIME_FILES, executable=["bin/run"]), RUNTIME_FILES),
    ):
        paths = {}
        for name, content in files.items():
            paths[name] = tmp_path / f"file-{len(refs)}-{len(paths)}"
            paths[name].write_bytes(content)
        artifacts.add(artifact, paths)
        refs.append(devices.ref_of(artifact))
        trust.add_target(artifact.target_path, artifact.encoded(), {})
    content = Generation(site="lab", device="here-1", artifacts=tuple(refs), pipelines=())
    deployment = devices.a_deployment(content, device="here-1")
    trust.add_target(deployment.target_path, deployment.encoded(), {})
    trust.publish(datetime.now(UTC))
    return here


@pytest.fixture
def stick(published, tmp_path):
    place = tmp_path / "stick"
    place.mkdir()
    said = published.run("bundle", "create", "--to", str(place), "-l", "here-1")
    assert said.code == 0, said
    assert "root  " in said.out
    return place


def write_finding(here, path):
    """As `drift --keep` on the device does when that file differs."""
    layout = layout_for(str(here.prefix()))
    found = Finding(
        site="lab", device="here-1", seq=1, prev=wire.GENESIS, first="2026-11-22T00:00:00Z",
        last="2026-11-22T00:00:00Z", times=1, clock="ntp", generation=1, digest=wire.GENESIS,
        drift=({"kind": "file", "path": path, "expected": "a", "actual": "b"},), health=(),
        needs_hands="", signing="unsigned",
    )  # fmt: skip
    driftlog.keep(Disk(), layout, signing.find_signer(Disk(), layout), found)


def alter_findings(chain, alter):
    file = chain.with_name("device-here-1.drift.json")
    document = json.loads(file.read_bytes())
    alter(document["kept"])
    file.write_text(json.dumps(document))


def left(here, stick):
    """The device writes its receipts and its state onto the stick, with its own tool."""
    tool = here.prefix() / "bin/edgeform-device"
    done = subprocess.run(
        (tool, "bundle", stick, "--report"), capture_output=True, check=False, env=os.environ
    )
    said = json.loads(done.stdout)
    assert (done.returncode, said.get("returned")) == (0, "written"), done
    return stick / "edgeform/return/device-here-1.jsonl"


def test_a_stick_is_made_and_proven_and_each_kind_of_wrong_has_its_code(
    published, stick, tmp_path, monkeypatch
):
    from edgeform.cli import cmd_bundle

    said = published.run("bundle", "verify", str(stick), "--site", ".")
    assert said.code == 0, said
    assert "sites/lab/here-1.json" in said.out
    assert "(given)" in said.out
    blob = next(f for f in files_of(stick) if "sha256" in f.parts)
    content = blob.read_bytes()
    blob.write_bytes(b"?" + content[1:])
    damaged = published.run("bundle", "verify", str(stick))
    assert (damaged.code, "is damaged" in damaged.err) == (12, True), damaged
    blob.unlink()
    gone = published.run("bundle", "verify", str(stick))
    assert (gone.code, f"{blob.name} is missing" in gone.err) == (12, True), gone
    blob.write_bytes(content)
    monkeypatch.setattr(cmd_bundle, "now", lambda: datetime.now(UTC) + timedelta(days=400))
    old = published.run("bundle", "verify", str(stick))
    assert (old.code, "expired" in old.err) == (6, True), old


@pytest.mark.slow
def test_nothing_published_makes_no_stick(here, tmp_path):
    assert here.run("enroll", "here-1").code == 0
    said = here.run("bundle", "create", "--to", str(tmp_path / "stick"))
    assert said.code == 64
    assert "edgeform publish plan.json" in said.err


def test_receipts_come_home_once_and_the_record_knows_the_state(published, stick):
    write_receipt(published, "t1")
    write_receipt(published, "t2", result="rolled_back", reason="golden failed")
    write_finding(published, "trees/some/file")
    left(published, stick)
    said = published.run("bundle", "ingest", str(stick))
    assert said.code == 0, said
    assert "here-1\tdrift\tgeneration 1" in said.out
    assert "file trees/some/file" in said.out
    kept = (published.site / "records/here-1.drift.json").read_bytes()
    assert kept == (stick / "edgeform/return/device-here-1.drift.json").read_bytes()
    assert said.out.count("here-1\treceipt") == 2
    assert "golden failed" in said.out
    records = published.site / "records"
    log = published.prefix() / "receipts.jsonl"
    assert (records / "here-1.jsonl").read_bytes() == log.read_bytes()
    assert json.loads((records / "here-1.state.json").read_text())["report"]["seq"] == 2
    again = published.run("bundle", "ingest", str(stick))
    assert (again.code, again.out) == (0, "here-1\tno news\n")
    assert published.run("receipts", "here-1", "--offline").code == 0


@pytest.mark.slow
def test_what_a_device_kept_is_proven_over_a_connection_as_well(published):
    write_finding(published, "trees/some/file")
    said = published.run("drift", "here-1", "--on-device")
    assert (said.code, "trees/some/file" in said.out) == (2, True), said
    log = published.prefix() / "state/drift.jsonl"
    log.write_bytes(log.read_bytes().replace(b"some/file", b"else/file"))
    said = published.run("drift", "here-1", "--on-device")
    assert (said.code, "trees" in said.out) == (8, False), said
    assert "finding 1: its signature is not the device's" in said.err


@pytest.mark.slow
def test_a_merge_conflict_in_the_records_is_named_and_nothing_is_taken(published, stick):
    write_receipt(published, "t1")
    left(published, stick)
    assert published.run("bundle", "ingest", str(stick)).code == 0
    file = published.site / "records/here-1.jsonl"
    file.write_bytes(b"<<<<<<< HEAD\n" + file.read_bytes())
    before = file.read_bytes()
    said = published.run("bundle", "ingest", str(stick))
    assert (said.code, "a merge conflict of Git stands in it" in said.err) == (12, True), said
    assert file.read_bytes() == before


@pytest.mark.slow
def test_sticks_come_home_in_any_order(published, stick, tmp_path):
    write_receipt(published, "t1")
    left(published, stick)
    shutil.copytree(stick, tmp_path / "first")
    write_receipt(published, "t2")
    left(published, stick)
    assert published.run("bundle", "ingest", str(stick)).out.count("receipt") == 2
    older = published.run("bundle", "ingest", str(tmp_path / "first"))
    assert (older.code, older.out) == (0, "here-1\tno news\n"), older
    state = (published.site / "records/here-1.state.json").read_text()
    assert json.loads(state)["report"]["seq"] == 2


LIES = {
    "a line left out": (12, "number 3 follows 1"),
    "the last line left out": (12, "what is between is missing"),
    "a line altered": (8, "its signature is not the device's"),
    "a line added": (8, "its signature is not the device's"),
    "torn": (12, "torn off"),
    "the state altered": (8, "the signature of its state is not the device's"),
    "the state unsigned": (8, "its state is unsigned"),
    "a finding altered": (8, "finding 2: its signature is not the device's"),
    "a finding left out": (12, "finding 2: number 3 follows 1"),
    "the last finding left out": (12, "its findings end with number 2"),
    "no findings": (12, "its findings are missing: it has 3 of them"),
    "findings of another time": (12, "some are missing, or they are of another time"),
    "unreadable findings": (12, "its findings are unreadable"),
    "a link": (12, "is a link or a special file"),
    "another device's": (12, "it is of lab/here-1"),
    "not JSON": (12, "state is unreadable"),
}


def test_a_gap_or_a_forgery_is_named_and_nothing_is_taken(published, stick):
    for name in ("t1", "t2", "t3"):
        write_receipt(published, name)
        write_finding(published, name)
    chain = left(published, stick)
    folder, honest = chain.parent, stick / "honest"
    chain.parent.rename(honest)
    for lie, (code, text) in LIES.items():
        shutil.copytree(honest, folder)
        tell(lie, chain, stick)
        said = published.run("bundle", "ingest", str(stick))
        assert (said.code, text in said.err) == (code, True), (lie, said)
        assert "nothing was taken" in said.err, lie
        assert not (published.site / "records/here-1.jsonl").exists(), lie
        assert not (published.site / "records/here-1.state.json").exists(), lie
        shutil.rmtree(folder)


def tell(lie, chain, stick):
    """Write that lie into what the device left."""
    state = chain.with_name("device-here-1.state.json")
    lines = chain.read_bytes().splitlines(keepends=True)
    signed = json.loads(state.read_bytes())
    match lie:
        case "a line left out":
            chain.write_bytes(lines[0] + lines[2])
        case "the last line left out":
            chain.write_bytes(b"".join(lines[:2]))
        case "a line altered":
            lines[1] = lines[1].replace(b'"deployment":1', b'"deployment":7')
            chain.write_bytes(b"".join(lines))
        case "a line added":
            last = json.loads(lines[2])
            decoded = wire.decode_line(lines[2]).receipt
            last["receipt"].update(seq=4, prev=decoded.chain_digest, transaction="t4")
            text = json.dumps(last, sort_keys=True, separators=(",", ":")).encode()
            chain.write_bytes(b"".join(lines) + text + b"\n")
        case "torn":
            chain.write_bytes(b"".join(lines)[:-10])
        case "the state altered":
            signed["report"]["state"]["needs_hands"] = "no"
            state.write_text(json.dumps(signed))
        case "the state unsigned":
            state.write_text(json.dumps(dict(signed, signature=None)))
        case "a finding altered":
            alter_findings(chain, lambda kept: kept[1]["finding"].update(drift=[]))
        case "a finding left out":
            alter_findings(chain, lambda kept: kept.pop(1))
        case "the last finding left out":
            alter_findings(chain, lambda kept: kept.pop())
        case "no findings":
            chain.with_name("device-here-1.drift.json").unlink()
        case "findings of another time":
            alter_findings(chain, lambda kept: kept.clear())
        case "unreadable findings":
            chain.with_name("device-here-1.drift.json").write_bytes(b"[]")
        case "a link":
            (stick / "elsewhere").write_bytes(chain.read_bytes())
            chain.unlink()
            chain.symlink_to(stick / "elsewhere")
        case "another device's":
            for file in chain.parent.iterdir():
                file.rename(file.with_name(file.name.replace("here-1", "away")))
        case _:
            state.write_bytes(b"\xff\x00")


@pytest.mark.slow
def test_another_past_than_before_is_found(published, stick):
    write_receipt(published, "t1")
    left(published, stick)
    assert published.run("bundle", "ingest", str(stick)).code == 0
    (published.prefix() / "receipts.jsonl").unlink()
    write_receipt(published, "t1-again", deployment=9)
    write_receipt(published, "t2")
    left(published, stick)
    said = published.run("bundle", "ingest", str(stick))
    assert said.code == 12
    assert "receipt line 1: it is not the one that the device reported before" in said.err


@pytest.mark.slow
def test_a_key_that_came_by_stick_is_pinned_by_the_code_on_paper(published, stick):
    pinned = published.site / "records/here-1.key.pem"
    key = pinned.read_text()
    pinned.unlink()
    write_receipt(published, "t1")
    left(published, stick)
    said = published.run("bundle", "ingest", str(stick))
    assert said.code == 0
    assert "no key is pinned" in said.err
    assert not pinned.exists()
    wrong = published.run("bundle", "ingest", str(stick), "--accept-key", "here-1=AAAA-AAAA")
    assert wrong.code == 8
    root = published.site / ".edgeform/trust/repository/metadata/1.root.json"
    code = short_code(digests.of_bytes(root.read_bytes()), key)
    right = published.run("bundle", "ingest", str(stick), "--accept-key", f"here-1={code}")
    assert right.code == 0, right
    assert pinned.read_text() == key


@pytest.mark.slow
def test_a_stick_for_another_site_is_not_applied_here(published, stick):
    text = (published.site / "site.yaml").read_text()
    (published.site / "site.yaml").write_text(text.replace("name: lab", "name: harbour"))
    said = published.run("bundle", "apply", str(stick))
    assert said.code == 8, said
    assert "for site lab; this folder is site harbour" in said.err


@pytest.mark.slow
def test_a_laptop_without_a_root_installs_nobody_unvouched(published, stick, tmp_path):
    (published.site / ".edgeform").rename(tmp_path / "home")
    shutil.rmtree(published.prefix())
    said = published.run("bundle", "apply", str(stick), "-l", "here-1")
    assert said.code == 8, said
    assert "--fingerprint" in said.err
    wrong = published.run("bundle", "apply", str(stick), "--fingerprint", "0" * 32)
    assert wrong.code == 8
    assert not published.prefix().exists()


@pytest.mark.slow
def test_a_laptop_carries_what_is_on_the_stick_and_the_device_judges(published, stick, tmp_path):
    """A deployment without any pipeline is a real one: it is verified, switched to and receipted."""
    (published.site / ".edgeform").rename(tmp_path / "home")
    said = published.run("bundle", "apply", str(stick), "-l", "here-1")
    assert said.code == 0, said
    assert "committed" in said.out
    again = published.run("bundle", "apply", str(stick), "-l", "here-1")
    assert (again.code, "unchanged" in again.out) == (0, True), again
    assert published.run("receipts", "here-1", "--offline").out.count("committed") == 1


@pytest.mark.slow
def test_an_image_is_as_good_as_a_folder(published, tmp_path):
    if not (shutil.which("mkfs.vfat") and shutil.which("mcopy")):
        pytest.skip("no dosfstools or no mtools here")
    image = str(tmp_path / "stick.img")
    said = published.run("bundle", "create", "--to", image, "-l", "here-1")
    assert said.code == 0, said
    assert published.run("bundle", "verify", image, "--site", ".").code == 0
    assert "no device has left anything" in published.run("bundle", "ingest", image).err
