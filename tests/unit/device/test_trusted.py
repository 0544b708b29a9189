import os
from dataclasses import replace

import pytest
from support.device import (
    MODEL_FILES,
    RUNTIME_FILES,
    a_deployment,
    a_generation,
    a_model,
    an_artifact,
    an_enrolled_device,
    deliver,
    ref_of,
)

from edgeform_device import identity, preparation, trusted, tuf
from edgeform_device.errors import Corrupt, Incomplete, NotTrusted, Stale
from edgeform_device.records import State
from edgeform_wire.deployment import Policy

MODEL = a_model()
RUNTIME = an_artifact(RUNTIME_FILES, executable=["bin/run"])
BLOBS = (MODEL.encoded(), RUNTIME.encoded(), *MODEL_FILES.values(), *RUNTIME_FILES.values())


def preparing(device):
    return preparation.Prepare(
        device.disk, device.layout, identity.load(device.disk, device.layout)
    )


def sent(device, publisher, deployment, *artifacts, blobs=BLOBS):
    publisher.publish(deployment, *(artifacts or (MODEL, RUNTIME)))
    deliver(device, publisher, deployment, *blobs)
    return deployment


def refused(error, device, number=None):
    before = tree_of(device)
    with pytest.raises(error) as caught:
        preparing(device).approve(number)
    assert tree_of(device) == before
    return str(caught.value)


def tree_of(device):
    """Everything below the prefix but the metadata that is verified before it is stored."""
    return {
        os.path.join(where, name)
        for where, _, files in os.walk(device.prefix)
        for name in files
        if not where.endswith("trust/metadata")
    }


def test_what_is_signed_for_this_device_is_approved_with_its_artifacts(device, publisher):
    deployment = sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME)))
    approved = preparing(device).approve(1)
    assert approved.deployment.encoded() == deployment.encoded()
    assert {a.digest for a in approved.artifacts} == {MODEL.digest, RUNTIME.digest}
    assert approved.profile == "development"
    assert approved.versions["targets"] == 1


def test_the_approved_artifacts_become_trees(device, publisher):
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME)))
    prepare = preparing(device)
    approved = prepare.approve(1)
    prepare.preflight(approved, None)
    prepare.materialise(approved)
    prepare.verify(approved.deployment.generation)


def test_a_device_without_a_target_is_refused(tmp_path, publisher):
    other = an_enrolled_device(tmp_path / "other", publisher.root, device="cam-2")
    sent(other, publisher, a_deployment(a_generation(MODEL, RUNTIME)))
    assert "Nothing is signed for this device" in refused(NotTrusted, other)


def test_another_devices_deployment_at_this_devices_place_is_refused(device, publisher):
    foreign = a_deployment(a_generation(MODEL, RUNTIME, device="cam-2"))
    publisher.publish(foreign, MODEL, RUNTIME, at="sites/lab/cam-1.json")
    deliver(device, publisher, foreign, *BLOBS)
    assert "lab/cam-2" in refused(NotTrusted, device)


def test_an_artifact_that_is_not_signed_is_refused(device, publisher):
    deployment = a_deployment(a_generation(MODEL, RUNTIME))
    publisher.publish(deployment, RUNTIME)
    deliver(device, publisher, deployment, *BLOBS)
    assert "is not signed" in refused(NotTrusted, device)


def test_an_artifact_signed_with_another_digest_is_refused(device, publisher):
    other = a_model({**MODEL_FILES, "labels.txt": b"swapped"})
    deployment = a_deployment(a_generation(other, RUNTIME))
    publisher.publish(deployment, MODEL, RUNTIME)
    deliver(device, publisher, deployment, other.encoded(), *BLOBS)
    assert "another digest" in refused(NotTrusted, device)


def test_a_deployment_that_lies_about_an_epoch_is_refused(device, publisher):
    refs = tuple(replace(ref_of(a), epoch=7) for a in (MODEL, RUNTIME))
    lying = replace(a_generation(MODEL, RUNTIME), artifacts=refs)
    sent(device, publisher, a_deployment(lying))
    assert "epoch" in refused(NotTrusted, device)


def test_an_artifact_below_its_floor_is_refused(device, publisher):
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME)))
    State(device.disk, device.layout).write_floor({"model/digits": 2})
    assert "floor" in refused(NotTrusted, device)


def test_a_revoked_artifact_is_refused_also_as_something_to_return_to(device, publisher):
    deployment = sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME)))
    prepare = preparing(device)
    prepare.materialise(prepare.approve(1))
    publisher.publish(replace(deployment, number=2), remove=[MODEL.target_path])
    deliver(device, publisher, replace(deployment, number=2))
    refused(NotTrusted, device)
    with pytest.raises(NotTrusted, match="revoked"):
        prepare.verify(deployment.generation)


def test_another_number_than_was_asked_for_is_stale(device, publisher):
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME), number=3))
    assert "3 is the one" in refused(Stale, device, number=2)


def test_a_lower_number_is_refused_even_when_it_is_signed(device, publisher):
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME), number=5))
    preparing(device).approve(5)
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME), number=4))
    assert "has accepted 5" in refused(NotTrusted, device)


def test_one_number_is_one_document(device, publisher):
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME), number=5))
    prepare = preparing(device)
    assert prepare.approve(5) == prepare.approve(5)
    policy = Policy(confirm="controller")
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME), number=5, policy=policy))
    refused(NotTrusted, device)


def test_a_plan_remembers_nothing(device, publisher):
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME), number=5))
    who = identity.load(device.disk, device.layout)
    assert preparation.plan(device.disk, device.layout, who, 5)["is_ready"] is True
    assert trusted.seen(device.disk, device.layout) is None


def test_the_deployment_itself_may_be_missing(device, publisher):
    publisher.publish(a_deployment(a_generation(MODEL, RUNTIME)), MODEL, RUNTIME)
    device.receive_metadata(publisher.metadata)
    refused(Incomplete, device)


def test_missing_blobs_are_named_by_the_plan_and_refused_when_building(device, publisher):
    deployment = a_deployment(a_generation(MODEL, RUNTIME))
    sent(device, publisher, deployment, blobs=(MODEL.encoded(), RUNTIME.encoded()))
    who = identity.load(device.disk, device.layout)
    plan = preparation.plan(device.disk, device.layout, who, 1)
    assert set(plan["missing"]) == {f.digest for a in (MODEL, RUNTIME) for f in a.files}
    assert [r["code"] for r in plan["refusals"]] == ["incomplete"]
    prepare = preparing(device)
    with pytest.raises(Incomplete):
        prepare.materialise(prepare.approve(1))


def test_a_swapped_blob_is_never_read_as_a_manifest(device, publisher):
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME)))
    path = device.layout.blob(MODEL.digest)
    os.unlink(path)
    other = device.layout.blob(RUNTIME.digest)
    os.link(other, path)
    with pytest.raises(Corrupt):
        preparing(device).approve(1)


@pytest.mark.parametrize("role", ["timestamp", "2.snapshot", "1.targets", "2.site-lab", "2.models"])
def test_metadata_with_a_byte_flipped_anywhere_approves_nothing(device, publisher, role):
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME)))
    file = device.prefix / f"incoming/metadata/{role}.json"
    content = file.read_bytes()
    for at in range(0, len(content), len(content) // 6):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        refused((NotTrusted, Corrupt, Stale), device)


def test_a_link_in_the_upload_folder_is_not_followed(device, publisher, tmp_path):
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME)))
    file = device.prefix / "incoming/metadata/timestamp.json"
    copy = tmp_path / "timestamp.json"
    copy.write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(copy)
    refused(NotTrusted, device)


def test_a_tool_update_must_be_signed_as_a_tool(device, publisher):
    tool = an_artifact({"edgeform-device.pyz": b"PK"}, kind="tool", name="device")
    policy = Policy(tool=tool.digest)
    deployment = a_deployment(a_generation(MODEL, RUNTIME), policy=policy)
    sent(device, publisher, deployment, MODEL, RUNTIME, tool, blobs=(*BLOBS, tool.encoded(), b"PK"))
    assert preparing(device).approve(1).tool == tool
    posing = a_deployment(
        a_generation(MODEL, RUNTIME), number=2, policy=Policy(tool=RUNTIME.digest)
    )
    sent(device, publisher, posing)
    assert "is none" in refused(NotTrusted, device)


def test_without_a_root_nothing_is_approved(device, publisher):
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME)))
    os.unlink(device.prefix / "trust/metadata/root.json")
    refused(NotTrusted, device)


def test_what_was_verified_once_can_be_asked_without_a_repository(device, publisher):
    sent(device, publisher, a_deployment(a_generation(MODEL, RUNTIME)))
    preparing(device).approve(1)
    for file in (device.prefix / "incoming/metadata").iterdir():
        file.unlink()
    stored = tuf.stored(device.layout.trust_dir)
    trusted.check_not_revoked(stored, a_generation(MODEL, RUNTIME))
