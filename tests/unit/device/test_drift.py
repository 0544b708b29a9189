import os

import pytest
from support.device import (
    MODEL_FILES,
    RUNTIME_FILES,
    a_deployment,
    a_generation,
    a_model,
    an_artifact,
)

from edgeform_device import drift, generations, trees
from edgeform_device.errors import Usage
from edgeform_device.records import Committed, State, Txn

MODEL, RUNTIME = a_model(), an_artifact(RUNTIME_FILES)


@pytest.fixture
def device(device):
    device.receive(
        MODEL.encoded(), RUNTIME.encoded(), *MODEL_FILES.values(), *RUNTIME_FILES.values()
    )
    for artifact in (MODEL, RUNTIME):
        trees.build(device.store, artifact)
    content = a_generation(MODEL, RUNTIME)
    generations.write(device.disk, device.layout, 1, a_deployment(content), "ssh")
    State(device.disk, device.layout).write_committed(Committed(1, content.digest, 1, "t1"))
    device.disk.replace_link(device.layout.current, "gen/1")
    return device


def found(device, level="full"):
    return [(d.kind, d.path, d.actual) for d in drift.drift(device.disk, device.layout, level)]


@pytest.mark.parametrize("level", drift.LEVELS)
def test_a_device_as_it_was_left_has_no_drift(device, level):
    assert found(device, level) == []


def test_a_link_that_points_elsewhere_is_named(device):
    device.disk.replace_link(device.layout.current, "gen/7")
    assert found(device) == [("link", "current", "gen/7")]
    os.unlink(device.layout.current)
    assert found(device) == [("link", "current", "absent")]


def a_transaction(to_generation: int) -> Txn:
    return Txn(
        id="t2", from_generation=1, from_digest=None, to_generation=to_generation, to_digest="sha256:" + "7" * 64,
        deployment=2, plan_digest="sha256:" + "1" * 64, road="ssh", who="kim@desk", phase="switch", confirm="local",
        confirm_s=5.0, soak_s=1.0, window_s=0.0, nonce="n", reboot_required=False, boots_left=0, boot_id="b",
        deadline_s=60.0,
    )  # fmt: skip


@pytest.mark.parametrize("decided", ["txn", "txn_commit", "txn_revert"])
@pytest.mark.parametrize("link", [1, 7])
def test_where_a_transaction_under_way_has_switched_to_is_no_drift(device, decided, link):
    device.disk.replace_link(device.layout.current, f"gen/{link}")
    State(device.disk, device.layout).write_txn(a_transaction(7))
    if decided != "txn":
        os.rename(device.layout.txn, getattr(device.layout, decided))
    assert found(device) == []
    device.disk.replace_link(device.layout.current, "gen/8")
    assert found(device) == [("link", "current", "gen/8")]


def test_a_transaction_that_ends_between_two_looks_is_looked_at_again(device, monkeypatch):
    """The commit is read, then the transaction is over: the link leads to what is committed by now."""
    state = State(device.disk, device.layout)
    device.disk.replace_link(device.layout.current, "gen/2")
    content = a_generation(MODEL, RUNTIME)
    real, asked = State.committed, []

    def committed(self):
        asked.append(1)
        answer = real(self)
        if len(asked) == 1:
            generations.write(device.disk, device.layout, 2, a_deployment(content), "ssh")
            state.write_committed(Committed(2, content.digest, 2, "t2"))
        return answer

    monkeypatch.setattr(State, "committed", committed)
    assert found(device) == []


def test_an_edited_manifest_is_named_and_believed_no_further(device):
    path = device.prefix / "gen/1/manifest.json"
    path.write_bytes(path.read_bytes().replace(b"onnxruntime", b"openvino___"))
    ((kind, where, actual),) = found(device)
    assert (kind, where) == ("file", "gen/1/manifest.json")
    assert actual.startswith("sha256:")


def test_an_edited_pipeline_file_is_configuration(device):
    path = device.prefix / "gen/1/pipelines/digits.json"
    path.write_bytes(path.read_bytes() + b" ")
    assert [(k, p) for k, p, _ in found(device, "none")] == [
        ("configuration", "gen/1/pipelines/digits.json")
    ]


def test_a_changed_file_is_named_by_its_path_below_the_prefix(device):
    path = os.path.join(device.layout.tree(MODEL.digest), "labels.txt")
    os.chmod(path, 0o644)
    with open(path, "a") as stream:
        stream.write("2\n")
    (only,) = found(device, "sample")
    assert only[:2] == ("file", os.path.relpath(path, device.prefix))


def test_a_tree_that_is_gone_is_found_without_reading(device):
    device.disk.remove_tree(device.layout.tree(RUNTIME.digest))
    assert [actual for _, _, actual in found(device, "none")] == ["absent"]


def test_another_level_is_usage(device):
    with pytest.raises(Usage):
        found(device, "deep")


def test_looking_changes_nothing(device):
    before = sorted(os.walk(device.prefix))
    found(device)
    assert sorted(os.walk(device.prefix)) == before
