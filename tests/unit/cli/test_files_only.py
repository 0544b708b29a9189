"""Verbs that read and write files: init, validate, explain, schema, secret, trust, store, gc, doctor."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from edgeform.cli.main import run
from edgeform.lock.lockfile import lock_of, write
from edgeform.lock.resolve import locked
from edgeform.store.artifacts import Artifacts
from edgeform.store.objects import Objects
from edgeform.trust.roles import production_layout
from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact, ArtifactFile, Requires


def test_a_new_site_is_valid_as_it_stands(tmp_path, capsys):
    assert run(["init", str(tmp_path / "plant-a")]) == 0
    assert "plant-a/site.yaml" in capsys.readouterr().out
    assert run(["validate", str(tmp_path / "plant-a")]) == 0
    assert "plant-a:" in capsys.readouterr().out


def test_init_overwrites_nothing(tmp_path, capsys):
    (tmp_path / "site.yaml").write_text("mine")
    assert run(["init", str(tmp_path), "--name", "plant"]) == 64
    assert (tmp_path / "site.yaml").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [tmp_path / "site.yaml"]


def test_a_code_is_explained_with_its_cause(here):
    said = here.run("explain", "ef2501")
    assert said.code == 0
    assert said.out.startswith("error[EF2501]: No lock\n")
    assert "Usual cause:" in said.out


def test_an_unknown_code_is_wrong_usage_with_the_nearest_one(here):
    said = here.run("explain", "EF2599")
    assert said.code == 64
    assert "EF25" in said.err


def test_a_value_is_explained_by_the_line_it_was_written_on(here):
    said = here.run("explain", "device", "here-1", "--path", "connect.mode")
    assert said.code == 0
    assert "connect.mode = local\n  from device here-1, devices.yaml:9:" in said.out


def test_the_inventory_has_groups_and_no_secret(here):
    (found,) = here.run("explain", "inventory", "--json").objects
    hosts = {host["name"]: host for host in found["hosts"]}
    assert set(hosts) == {"here-1", "away"}
    assert "class_lab_cpu" in hosts["here-1"]["groups"]
    assert hosts["here-1"]["variables"]["ansible_connection"] == "local"


def test_a_model_is_explained_without_a_lock(here):
    said = here.run("explain", "model", "digits")
    assert said.out.startswith("digits: semver ^1.0 of registry local, not locked\n  onnx-f32:")


def test_a_question_that_is_none_says_which_there_are(here):
    said = here.run("explain", "device")
    assert said.code == 64
    assert "edgeform explain inventory" in said.err


def test_schemas_are_listed_and_printed(here):
    names = here.run("schema").out.split()
    assert {"site", "plan", "receipt", "lock", "events"} <= set(names)
    for name in names:
        assert json.loads(here.run("schema", name).out)["$schema"]
    assert here.run("schema", "nothing").code == 64


@pytest.fixture
def passphrase(monkeypatch):
    monkeypatch.setenv("EDGEFORM_SECRETS_PASSPHRASE", "correct horse")
    monkeypatch.setenv("EDGEFORM_TRUST_PASSPHRASE", "battery staple")


def typed(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_secret_goes_in_by_standard_input_and_never_comes_out(here, passphrase, monkeypatch):
    typed(monkeypatch, b"canary-7d1f\n")
    assert here.run("secret", "set", "camera_password").code == 0
    assert here.run("secret", "list").out == "camera_password\n"
    content = (here.site / "secrets.enc.json").read_bytes()
    assert b"canary" not in content
    assert here.run("secret", "rm", "camera_password").code == 0
    assert here.run("secret", "list").out == ""
    assert here.run("secret", "rm", "camera_password").code == 64


def test_an_empty_secret_is_refused(here, passphrase, monkeypatch):
    typed(monkeypatch, b"\n")
    assert here.run("secret", "set", "empty").code == 64
    assert not (here.site / "secrets.enc.json").exists()


def test_a_wrong_passphrase_is_not_trusted(here, passphrase, monkeypatch):
    typed(monkeypatch, b"value")
    assert here.run("secret", "set", "a").code == 0
    monkeypatch.setenv("EDGEFORM_SECRETS_PASSPHRASE", "another")
    assert here.run("secret", "list").code == 8


def test_a_development_root_is_made_once_verified_and_shown(here):
    assert here.run("trust", "init", "--development").code == 0
    assert here.run("trust", "init", "--development").code == 64
    assert here.run("trust", "verify").code == 0
    shown = {role["name"]: role for role in here.run("trust", "show", "--json").objects}
    assert {"root", "targets", "snapshot", "timestamp", "site-lab"} <= set(shown)
    assert all(role["keys_here"] >= role["threshold"] for role in shown.values())


def test_a_kind_of_root_must_be_chosen(here):
    assert here.run("trust", "init").code == 64


def test_a_damaged_target_or_role_is_found(here):
    here.run("trust", "init", "--development")
    role = here.site / ".edgeform/trust/repository/metadata/1.targets.json"
    content = role.read_bytes()
    assert b"core" in content
    role.write_bytes(content.replace(b"core", b"c0re", 1))
    assert here.run("trust", "verify").code in (8, 12)


def test_a_production_root_needs_its_holders(here, passphrase, tmp_path):
    keys = tmp_path / "keys"
    people = [keys / name for name in ("ada", "ben", "cora")]
    for file in people:
        assert here.run("trust", "keygen", str(file)).code == 0
    assert here.run("trust", "keygen", str(people[0])).code == 64, "never overwritten"
    roles = [role.name for role in production_layout(("lab",)).roles]
    options = [o for r in roles for f in people for o in ("--key", f"{r}={f}.pub")]
    assert here.run("trust", "init", "--production", *options[:4]).code == 64
    for file in people:  # everybody's secret half is at home
        file.rename(file.with_name(f"{file.name}-at-home"))
    staged = here.run("trust", "init", "--production", *options)
    assert staged.code == 0, staged.err
    assert "root 1: 0 of 2, 2 more needed" in staged.out
    assert here.run("trust", "publish").code == 8
    assert here.run("trust", "sign").code == 8
    for file in people[:2]:
        file.with_name(f"{file.name}-at-home").rename(file)
    (here.site / ".edgeform/trust").rename(here.folder / "thrown-away")
    signed = here.run("trust", "init", "--production", *options)
    assert "root 1: 2 of 2, complete" in signed.out
    assert here.run("trust", "publish").code == 0
    assert here.run("trust", "verify").code == 0


@pytest.fixture
def stocked(here):
    """A store with one artifact, a lock that names it, and a published development root."""
    content = b"weights" * 1000
    file = here.folder / "model.onnx"
    file.write_bytes(content)
    digest = digests.of_bytes(content)
    artifact = Artifact(
        kind="model", name="digits", version="1.0.0", variant="onnx-f32", epoch=0,
        requires=Requires(),
        files=(ArtifactFile(path="model.onnx", size_bytes=len(content), mode="0644", digest=digest),),
    )  # fmt: skip
    store = Artifacts(Objects(here.site / ".edgeform" / "store"))
    store.add(artifact, {"model.onnx": file})
    write(here.site / "edgeform.lock", lock_of((), (locked(artifact, "onnxruntime"),)))
    assert here.run("trust", "init", "--development").code == 0
    return here


def another(here, name: str = "other") -> Path:
    """A second checkout: what Git carries, and nothing else."""
    ignore = shutil.ignore_patterns(".edgeform")
    shutil.copytree(here.site, here.folder / name, ignore=ignore)
    return here.folder / name


def test_what_is_pushed_is_pulled_and_proven_elsewhere(stocked):
    remote = str(stocked.folder / "remote")
    assert stocked.run("store", "push", remote).code == 0
    other = another(stocked)
    said = stocked.run("store", "pull", remote, inside="other")
    assert said.code == 0, said.err
    assert "first root here: sha256:" in said.err
    digest = digests.of_bytes(b"weights" * 1000)
    assert Objects(other / ".edgeform/store").read(digest) == b"weights" * 1000
    assert stocked.run("trust", "verify", inside="other").code == 0
    shown = stocked.run("trust", "show", "--json", inside="other").objects
    assert {role["keys_here"] for role in shown} == {0}
    again = stocked.run("store", "pull", remote, inside="other")
    assert again.code == 0
    assert "artifacts: 0 moved" in again.out


def test_a_pulled_object_that_is_another_one_is_refused(stocked):
    remote = stocked.folder / "remote"
    stocked.run("store", "push", str(remote))
    name = digests.hex_of(digests.of_bytes(b"weights" * 1000))
    (remote / "sha256" / name[:2] / name[2:]).write_bytes(b"evil" * 1750)
    another(stocked)
    assert stocked.run("store", "pull", str(remote), inside="other").code == 12
    assert not Objects(stocked.folder / "other/.edgeform/store").has("sha256:" + name)


def test_metadata_of_another_root_is_not_trusted_and_the_old_stays(stocked):
    remote = str(stocked.folder / "remote")
    stocked.run("store", "push", remote)
    other = another(stocked)
    assert stocked.run("trust", "init", "--development", inside="other").code == 0
    before = sorted(p.name for p in (other / ".edgeform/trust/repository/metadata").iterdir())
    assert stocked.run("store", "pull", remote, inside="other").code == 8
    after = sorted(p.name for p in (other / ".edgeform/trust/repository/metadata").iterdir())
    assert after == before
    assert stocked.run("trust", "verify", inside="other").code == 0


def test_a_remote_that_went_back_in_time_is_stale(stocked):
    old, new = stocked.folder / "old", stocked.folder / "new"
    stocked.run("store", "push", str(old))
    assert stocked.run("trust", "publish").code == 0
    stocked.run("store", "push", str(new))
    another(stocked)
    assert stocked.run("store", "pull", str(new), inside="other").code == 0
    assert stocked.run("store", "pull", str(old), inside="other").code == 6


def test_gc_keeps_what_the_lock_names_and_frees_the_rest(stocked):
    store = Objects(stocked.site / ".edgeform" / "store")
    stray = store.put(b"nobody needs this")
    for digest in store:
        os.utime(store.path(digest), (1, 1))
    said = stocked.run("gc", "--dry-run")
    assert (said.code, store.has(stray)) == (0, True)
    assert "1 objects would be removed" in said.out
    assert stocked.run("gc").code == 0
    assert not store.has(stray)
    assert store.read(digests.of_bytes(b"weights" * 1000))


def test_gc_without_a_lock_removes_nothing(here):
    store = Objects(here.site / ".edgeform" / "store")
    kept = store.put(b"not explained")
    assert here.run("gc").code == 64
    assert store.has(kept)


def test_the_doctor_names_what_the_site_lacks(here):
    said = here.run("doctor", "--json")
    found = {finding["name"]: finding for finding in said.objects}
    assert said.code == 3
    assert found["site"]["state"] == "ok"
    assert (found["lock"]["state"], found["lock"]["hint"]) == ("missing", "edgeform lock")
