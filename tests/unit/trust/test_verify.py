import pytest

from edgeform import trust
from edgeform.errors import Corrupt, EdgeformError, NotTrusted, Stale
from edgeform_device import errors as device_errors

MODEL = "artifacts/model/digits/1.0/cpu.json"


@pytest.fixture
def published(development):
    development.publish(MODEL, "sites/lab/cam-1.json")
    return development


def target_file(place):
    return next(place.repository.targets.rglob("*.cpu.json"))


def test_the_evidence_names_every_role_and_every_target(published):
    verified = published.verify()

    subjects = [evidence.subject for evidence in verified.evidence]
    assert subjects[:5] == ["anchor", "root", "timestamp", "snapshot", "targets"]
    assert {"models", "site-lab", MODEL, "sites/lab/cam-1.json"} <= set(subjects)
    assert verified.profile == "development"
    assert verified.targets == 2


def test_the_evidence_counts_signatures(published):
    texts = {evidence.subject: evidence.text for evidence in published.verify().evidence}

    assert texts["root"].startswith("version 1, 1 signatures of 1 needed (")
    assert texts["models"].endswith("until 2026-12-22")


def test_a_changed_target_is_corrupt_and_named(published):
    target_file(published).write_bytes(b"[]")

    with pytest.raises(Corrupt, match=MODEL):
        published.verify()


def test_a_missing_target_is_corrupt_and_named(published):
    target_file(published).unlink()

    with pytest.raises(Corrupt, match="is missing"):
        published.verify()


def test_an_expired_repository_is_stale(published):
    with pytest.raises(Stale, match="timestamp expired"):
        published.later(days=8).verify()


def test_another_root_does_not_verify_it(published, tmp_path):
    trust.init_development(tmp_path / "other", (), lambda: b"x", now=published.now)
    root = (tmp_path / "other/repository/metadata/1.root.json").read_bytes()

    with pytest.raises(NotTrusted, match="0 of the 1"):
        trust.verify(published.repository.folder, now=published.now, trusted_root=root)


def test_a_folder_that_is_no_repository_says_so(tmp_path, published):
    with pytest.raises(NotTrusted, match="no root to start from"):
        trust.verify(tmp_path, now=published.now)


def test_verifying_writes_nothing(published):
    def state():
        return {
            file: (file.stat().st_mtime_ns, file.stat().st_size)
            for file in published.folder.rglob("*")
        }

    before = state()
    published.verify()
    assert state() == before


@pytest.mark.parametrize("position", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize(
    "name", ["timestamp.json", "2.snapshot.json", "1.targets.json", "2.models.json"]
)
def test_a_flipped_byte_in_any_metadata_is_refused(published, name, position):
    file = published.metadata / name
    content = bytearray(file.read_bytes())
    content[int(len(content) * position)] ^= 0x01
    file.write_bytes(content)

    with pytest.raises((NotTrusted, Corrupt)):
        published.verify()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (device_errors.NotTrusted, NotTrusted),
        (device_errors.Stale, Stale),
        (device_errors.Corrupt, Corrupt),
        (device_errors.DeviceError, EdgeformError),
    ],
)
def test_what_a_device_refuses_keeps_its_exit_code_here(theirs, ours):
    error = trust.translated(theirs("what", "why", "do this"), "where")

    assert type(error) is ours
    assert error.exit_code == theirs.exit_code
    assert (error.detail, error.hint, error.address) == ("what\nwhy", "do this", "where")


def test_show_tells_versions_thresholds_keys_and_days(published):
    shown = trust.show(published.trust, now=published.now)
    models = next(role for role in shown.roles if role.name == "models")

    assert shown.profile == "development"
    assert [role.name for role in shown.roles][:4] == ["root", "timestamp", "snapshot", "targets"]
    assert (models.version, models.threshold, models.keys_here, models.targets) == (2, 1, 1, 1)
    assert models.days_left == 29
    assert models.patterns == ("artifacts/model/*/*/*",)
    assert shown.staged == ()


def test_show_tells_what_is_staged_and_who_must_still_sign(published):
    published.stage("artifacts/model/digits/2.0/cpu.json")
    (staged,) = trust.show(published.trust, now=published.now).staged

    assert (staged.role, staged.version, staged.missing) == ("models", 3, 1)
