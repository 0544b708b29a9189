"""Bytes that are not what somebody signed: found here before sending, there before use, and later by drift."""

import json
import shutil

import pytest
from support.site import PREFIX, copy_locked

pytestmark = pytest.mark.device


def artifact_of(site, model: str) -> dict:
    lock = json.loads((site.folder / "edgeform.lock").read_text())
    return next(a for a in lock["artifacts"] if a["name"] == model)


def objects_of(site, model: str) -> list:
    """The stored files of a model's artifact, the largest first."""
    store = site.folder / ".edgeform" / "store"
    wanted = {f["digest"].split(":")[1] for f in files_of(site, model)}
    found = [p for p in store.rglob("*") if p.is_file() and any(h.endswith(p.name) for h in wanted)]
    return sorted(found, key=lambda p: -p.stat().st_size)


def files_of(site, model: str) -> list:
    hexadecimal = artifact_of(site, model)["digest"].split(":")[1]
    store = site.folder / ".edgeform" / "store"
    manifest = next(
        p
        for p in store.rglob("*")
        if p.is_file() and hexadecimal.endswith(p.name) and p.stat().st_size
    )
    return json.loads(manifest.read_bytes())["files"]


def test_a_flipped_byte_in_the_store_is_found_before_it_is_sent(site):
    before = site.seen("one")
    site.want("one", "flipped-weights")
    stored = objects_of(site, "flipped-weights")[0]
    whole = stored.read_bytes()
    stored.unlink()  # the copy shares its objects with others by hard links
    stored.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    try:
        done = site.apply("-l", "one")
    finally:
        stored.unlink(missing_ok=True)
        stored.write_bytes(whole)
    assert done.exit_code == 12, done.text
    assert stored.name[:8] in done.text, done.text
    assert "No byte of it was sent" in done.out
    assert "sent " not in done.err
    assert site.seen("one") == before


def test_a_flipped_byte_on_the_device_is_drift_and_named(site):
    found = site.seen("two")
    model = found.raw["generation"]["manifest"]["pipelines"][0]["model"].split(":")[1]
    file = f"{PREFIX}/trees/{model}/labels.txt"
    clean = site.edgeform("drift", str(site.folder), "two")
    assert clean.exit_code == 0, clean.text
    site.on("two", "sh", "-c", f"cp -p {file} /var/lib/kept && sed -i s/3/8/ {file}")
    try:
        drifted = site.edgeform("drift", str(site.folder), "two")
    finally:
        site.on("two", "sh", "-c", f"cp -p /var/lib/kept {file}")
    assert drifted.exit_code == 2, drifted.text
    assert "labels.txt" in drifted.out
    site.assert_serving("two", generation=found.current)


def test_a_foreign_file_in_the_devices_store_disturbs_nobody(site):
    site.on(
        "one",
        "sh",
        "-c",
        f"echo foreign > {PREFIX}/blobs/sha256/foreign; mkdir {PREFIX}/trees/foreign",
    )
    site.want("one")
    done = site.apply("-l", "one")
    site.on("one", "sh", "-c", f"rm -rf {PREFIX}/blobs/sha256/foreign {PREFIX}/trees/foreign")
    assert done.exit_code == 0, done.text
    site.assert_serving("one", generation=site.seen("one").current)


def test_a_device_of_another_root_of_trust_refuses_what_this_site_signs(
    site, locked_site, tmp_path
):
    before = site.seen("one")
    site.want("one")
    stranger_folder = copy_locked(locked_site, tmp_path / "stranger")
    shutil.copy(site.folder / "devices.yaml", stranger_folder)
    shutil.copy(site.folder / "known_hosts", stranger_folder)
    done = site.edgeform("apply", str(stranger_folder), "-l", "one", "--yes")
    assert done.exit_code in (3, 8), done.text
    assert "root" in done.text, done.text
    site.assert_serving("one", generation=before.current)


def test_edited_metadata_is_refused_by_the_device(site):
    before = site.seen("one")
    site.want("one")
    metadata = site.folder / ".edgeform" / "trust" / "repository" / "metadata"
    content = json.loads((metadata / "timestamp.json").read_bytes())
    content["signed"]["version"] += 1000
    answer = offer_metadata(site, "one", "timestamp.json", json.dumps(content).encode())
    assert answer["ok"], answer  # it is only kept; who uses it verifies it
    said = site.tool("one", "plan", stdin=b"{}")
    assert not said["ok"] or said.get("refusals") or said.get("problems"), said
    assert "signature" in json.dumps(said), said
    assert site.seen("one") == before
    done = site.apply("-l", "one")  # brings whole metadata again
    assert done.exit_code == 0, done.text


def offer_metadata(site, name: str, file: str, content: bytes) -> dict:
    from edgeform_wire import frames

    return site.tool(name, "ingest", stdin=frames.head({"metadata": file}, len(content)) + content)


def test_a_deployment_for_another_device_is_refused(site):
    """The prefix of one device is offered the other's signed deployment, and there is none in its name."""
    before = site.seen("two")
    answer = site.tool(
        "two",
        "activate",
        stdin=json.dumps(
            {
                "deployment": before.deployment + 50,
                "plan_digest": "sha256:" + "0" * 64,
                "road": "ssh",
                "who": "a test",
                "lease_s": 60,
                "nonce": "nonce-of-this-test",
            }
        ).encode(),
    )
    ended = site.tool("two", "status", "--transaction", str(answer["transaction"]), "--wait", "30")
    assert ended["outcome"] == "refused", ended
    site.assert_serving("two", generation=before.current)
