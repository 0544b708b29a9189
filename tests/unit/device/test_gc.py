import os
import time
from dataclasses import replace

import pytest
from support.device import (
    MODEL_FILES,
    RUNTIME_FILES,
    a_deployment,
    a_generation,
    a_model,
    an_artifact,
)

from edgeform_device import gc, generations, identity, preparation, trees
from edgeform_device.errors import Locked
from edgeform_device.records import Committed, Quarantined, State

RUNTIME = an_artifact(RUNTIME_FILES)
LATER_S = 2 * gc.GRACE_S


def model(n):
    return a_model({**MODEL_FILES, "labels.txt": b"model %d" % n}, version=f"{n}.0")


@pytest.fixture
def device(device):
    """Four generations were committed, one after the other, each with a model of its own."""
    state = State(device.disk, device.layout)
    for n in range(1, 5):
        add(device, n)
    state.write_committed(committed(device, 4, (3, 2, 1)))
    device.disk.replace_link(device.layout.current, "gen/4")
    return device


def add(device, n, artifacts=()):
    used = artifacts or (RUNTIME, model(n))
    device.receive(
        *(a.encoded() for a in used),
        *MODEL_FILES.values(),
        b"model %d" % n,
        *RUNTIME_FILES.values(),
    )
    for artifact in used:
        trees.build(device.store, artifact)
    deployment = a_deployment(a_generation(*used), number=n)
    generations.write(device.disk, device.layout, n, deployment, "ssh")


def committed(device, n, history):
    content = generations.read(device.disk, device.layout, n)
    return Committed(n, content.digest, n, f"t{n}", history)


def collect(device, *, later_s=LATER_S, is_dry_run=False):
    return gc.collect(
        device.disk, device.layout, is_dry_run=is_dry_run, now_s=time.time() + later_s
    )


def kept(device):
    return generations.numbers(device.disk, device.layout)


def test_the_current_one_and_two_before_it_are_kept_whole(device):
    done = collect(device)
    assert kept(device) == (2, 3, 4)
    assert "gen/1" in done.removed
    assert done.freed_bytes > 0
    for n in kept(device):
        for artifact in (RUNTIME, model(n)):
            assert trees.damage_of(device.store, artifact, "full") == ()
            assert device.store.is_intact(artifact.digest)
    assert not os.path.isdir(device.layout.tree(model(1).digest))
    assert not device.store.has(model(1).digest)


def test_collecting_again_removes_nothing(device):
    collect(device)
    assert collect(device).removed == ()


def test_a_dry_run_says_the_same_and_does_nothing(device):
    said = collect(device, is_dry_run=True)
    assert kept(device) == (1, 2, 3, 4)
    assert set(said.removed) <= set(collect(device).removed)
    assert said.removed


def test_what_just_came_in_is_not_collected(device):
    device.receive(b"for the next deployment")
    collect(device, later_s=0)
    from edgeform_wire import digest as digests

    assert device.store.has(digests.of_bytes(b"for the next deployment"))
    collect(device)
    assert not device.store.has(digests.of_bytes(b"for the next deployment"))


def test_a_clock_that_went_back_collects_nothing_young(device):
    device.receive(b"for the next deployment")
    before = len(list(device.store.entries()))
    collect(device, later_s=-40 * 365 * 86400)
    assert len(list(device.store.entries())) == before


def test_the_newest_that_failed_is_kept_as_evidence(device):
    for n in (5, 6):
        add(device, n)
    held = {f"sha256:{n:064d}": Quarantined("golden differs", "now", f"t{n}", n) for n in (5, 6)}
    State(device.disk, device.layout).write_quarantine(held)
    collect(device)
    assert kept(device) == (2, 3, 4, 6)


def test_a_rolled_back_device_keeps_what_it_runs(device):
    State(device.disk, device.layout).write_committed(committed(device, 2, (4, 3, 1)))
    device.disk.replace_link(device.layout.current, "gen/2")
    collect(device)
    assert kept(device) == (2, 3, 4)


def test_a_file_that_a_removed_model_shared_is_not_lost_to_the_kept_one(device):
    collect(device)
    weights = next(f.digest for f in model(4).files if f.path == "model.onnx")
    assert device.store.is_intact(weights)
    assert device.store.foreign() == []


def test_an_unreadable_manifest_stops_blobs_from_being_thrown_away(device):
    path = device.prefix / "gen/3/manifest.json"
    os.chmod(path, 0o644)
    path.write_bytes(b"{")
    before = {p for p, _ in device.store.entries()}
    collect(device)
    assert {p for p, _ in device.store.entries()} == before


def test_what_is_not_ours_is_reported_and_left(device):
    foreign = device.prefix / "blobs/sha256/README"
    foreign.write_text("mine")
    assert collect(device).foreign == ("blobs/sha256/README",)
    assert foreign.exists()


def test_old_parts_go_and_young_ones_stay(device):
    os.makedirs(device.layout.part_dir, exist_ok=True)
    (device.prefix / "incoming/.part" / ("0" * 64)).write_bytes(b"half")
    collect(device)
    assert os.listdir(device.layout.part_dir)
    collect(device, later_s=2 * gc.PART_GRACE_S)
    assert os.listdir(device.layout.part_dir) == []


def test_nothing_is_collected_while_a_transaction_works(device):
    import fcntl

    with open(device.layout.lock, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(Locked):
            gc.collect_locked(device.disk, device.layout, is_dry_run=False)
    gc.collect_locked(device.disk, device.layout, is_dry_run=False)


def test_an_unfinished_transactions_generation_is_kept():
    record = Committed(4, "sha256:" + "0" * 64, 4, "t", (3, 2, 1))
    assert gc.kept_generations((1, 2, 3, 4, 5), 4, record, {}, 2, {5}) == {3, 4, 5}


def test_at_least_one_generation_to_return_to_is_kept():
    record = Committed(4, "sha256:" + "0" * 64, 4, "t", (3, 2, 1))
    assert gc.kept_generations((1, 2, 3, 4), 4, record, {}, 1, set()) == {3, 4}
    no_history = replace(record, history=())
    assert gc.kept_generations((1, 2, 3, 4), 4, no_history, {}, 1, set()) == {3, 4}


def test_half_made_things_of_a_cut_are_cleaned(device):
    who = identity.load(device.disk, device.layout)
    half = device.layout.tree(RUNTIME.digest) + ".new.tmp"
    os.makedirs(half)
    shard = device.prefix / "blobs/sha256/ab"
    shard.mkdir(exist_ok=True)
    (shard / "x.tmp").write_bytes(b"")
    preparation.Prepare(device.disk, device.layout, who).clean()
    assert not os.path.exists(half)
    assert not (shard / "x.tmp").exists()
    assert trees.damage_of(device.store, RUNTIME, "full") == ()
