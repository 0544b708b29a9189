import errno
import os
from dataclasses import replace

import pytest

from edgeform.store.artifacts import Artifacts
from edgeform.store.derivations import Built, Derivations
from edgeform.store.objects import Objects
from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact, ArtifactFile, Requires

CONTENT = b"weights"


def an_artifact(variant="int8"):
    file = ArtifactFile(
        path="model.onnx", size_bytes=len(CONTENT), mode="0644", digest=digests.of_bytes(CONTENT)
    )
    return Artifact(
        kind="model",
        name="digits",
        version="1.0.0",
        variant=variant,
        epoch=0,
        requires=Requires(),
        files=(file,),
    )


@pytest.fixture
def artifacts(tmp_path):
    found = Artifacts(Objects(tmp_path / "store"))
    found.objects.put(CONTENT)
    found.index(an_artifact().encoded())
    return found


def a_record(source="a", artifact=None, subject="digits/int8"):
    return Built(
        subject=subject,
        document={"schema": "edgeform.derivation/1", "source": source},
        artifact=artifact or an_artifact().digest,
        report={"taken": "as asked"},
    )


def test_what_was_built_is_found_by_its_derivation(artifacts):
    Derivations(artifacts).put(a_record())
    assert Derivations(artifacts).get(a_record().derivation) == a_record()
    assert Derivations(artifacts).get(a_record("b").derivation) is None


def test_a_record_counts_only_while_its_artifact_is_wholly_here(artifacts):
    records = Derivations(artifacts)
    records.put(a_record())
    artifacts.objects.remove(digests.of_bytes(CONTENT))
    assert records.get(a_record().derivation) is None
    artifacts.objects.put(CONTENT)
    assert records.get(a_record().derivation) is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"schema":"edgeform.built/1"}'])
def test_a_damaged_record_is_no_record(artifacts, content):
    records = Derivations(artifacts)
    records.put(a_record())
    (file,) = (artifacts.objects.folder / "derivations").glob("*.json")
    file.write_bytes(content)
    assert records.get(a_record().derivation) is None
    assert list(records.of_subject("digits/int8")) == []


def test_a_record_under_another_name_is_not_believed(artifacts):
    records = Derivations(artifacts)
    records.put(a_record("a"))
    (file,) = (artifacts.objects.folder / "derivations").glob("*.json")
    name = digests.hex_of(a_record("b").derivation)
    file.rename(file.with_name(f"{name}.json"))
    assert records.get(a_record("b").derivation) is None


def test_a_refusal_is_remembered_without_an_artifact(artifacts):
    record = replace(a_record(), artifact=None, refusal="SQNR 66.3 dB, wanted at least 90 dB")
    Derivations(artifacts).put(record)
    assert Derivations(artifacts).get(record.derivation) == record


def test_a_full_disk_leaves_the_old_record(artifacts, monkeypatch):
    records = Derivations(artifacts)
    records.put(a_record())

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        records.put(a_record(artifact=an_artifact("other").digest))
    monkeypatch.undo()
    assert records.get(a_record().derivation).artifact == an_artifact().digest
    assert [f.suffix for f in (artifacts.objects.folder / "derivations").iterdir()] == [".json"]


def test_the_newest_record_of_a_variant_comes_first(artifacts):
    records = Derivations(artifacts)
    for number, source in enumerate("abc"):
        records.put(a_record(source))
        name = digests.hex_of(a_record(source).derivation)
        file = artifacts.objects.folder / "derivations" / f"{name}.json"
        os.utime(file, (number, number))
    records.put(a_record("z", subject="other/v"))
    assert [b.document["source"] for b in records.of_subject("digits/int8")] == ["c", "b", "a"]
