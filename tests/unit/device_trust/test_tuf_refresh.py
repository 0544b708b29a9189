"""The honest way: what a device accepts, and what it then answers."""

import hashlib

import pytest
from support.tuf_repo import NOW_S, ARepository, a_clock, days

from edgeform_device import p256, tuf
from edgeform_device.errors import NotTrusted, Stale

MODEL = "artifacts/model/digits/1.0/cpu.json"


def test_a_first_refresh_gives_the_signed_length_digest_and_custom_fields(device, repository):
    target = device.refresh(repository.fetch).target(MODEL)

    assert target.length == len(b"content")
    assert target.sha256 == hashlib.sha256(b"content").hexdigest()
    assert target.custom == {"epoch": 1}


def test_a_target_that_nobody_signs_is_none(device, repository):
    assert device.refresh(repository.fetch).target("artifacts/model/other/1.0/cpu.json") is None


def test_an_update_is_followed(device, repository):
    device.refresh(repository.fetch)
    repository.add(MODEL, b"newer").publish()

    trusted = device.refresh(repository.fetch)

    assert trusted.target(MODEL).length == len(b"newer")
    assert trusted.versions() == {"root": 1, "timestamp": 2, "snapshot": 2, "targets": 2}


def test_a_second_refresh_fetches_only_the_next_root_and_the_timestamp(device, repository):
    device.refresh(repository.fetch)
    repository.fetched.clear()

    device.refresh(repository.fetch)

    assert repository.fetched == ["2.root.json", "timestamp.json"]


def test_what_was_verified_is_answered_without_a_repository(device, repository):
    device.refresh(repository.fetch)

    assert device.stored().target(MODEL) is not None


def test_what_runs_may_be_looked_up_long_after_it_expired(device, repository):
    """Expiry gates new installs, never what runs: the stored metadata answers at any time."""
    device.refresh(repository.fetch)

    with pytest.raises(Stale):
        device.refresh(repository.fetch, a_clock(NOW_S + 400 * 86_400))
    assert device.stored().target(MODEL) is not None


def test_the_profile_of_the_root_is_told(new_device):
    development = ARepository(profile="development").publish()
    production = ARepository(profile="production").publish()

    assert new_device(development, "d").refresh(development.fetch).root_profile == "development"
    assert new_device(production, "p").refresh(production.fetch).root_profile == "production"


def test_a_delegated_role_speaks_about_its_own_paths_only(new_device):
    repository = ARepository()
    repository.delegate("models", ["artifacts/model/*/*/*"])
    repository.add(MODEL, role="models").add("artifacts/tool/t/1/any.json", role="models").publish()

    trusted = new_device(repository).refresh(repository.fetch)

    assert trusted.target(MODEL) is not None
    assert trusted.target("artifacts/tool/t/1/any.json") is None
    assert [target.path for _, target in trusted.every_target()] == [MODEL]


def test_a_star_does_not_cross_a_slash(new_device):
    repository = ARepository()
    repository.delegate("site-lab", ["sites/lab/*"])
    repository.add("sites/lab/a/b.json", role="site-lab").publish()

    assert new_device(repository).refresh(repository.fetch).target("sites/lab/a/b.json") is None


def test_a_terminating_role_ends_the_search(new_device):
    repository = ARepository()
    repository.delegate("first", ["sites/lab/*"], terminating=True)
    repository.delegate("second", ["sites/lab/*"])
    repository.add("sites/lab/cam.json", role="second").publish()

    assert new_device(repository).refresh(repository.fetch).target("sites/lab/cam.json") is None


def test_a_device_reads_one_bin_and_not_the_fleet(new_device):
    repository = ARepository()
    bins = repository.delegate("site-lab", ["sites/lab/*"], bins=6)
    for number in range(200):
        path = f"sites/lab/cam-{number}.json"
        repository.add(path, role=bins.get_role_for_target(path))
    repository.publish()
    trusted = new_device(repository).refresh(repository.fetch)
    repository.fetched.clear()

    assert trusted.target("sites/lab/cam-7.json") is not None
    mine = bins.get_role_for_target("sites/lab/cam-7.json")
    assert repository.fetched == ["1.site-lab.json", f"1.{mine}.json"]


def test_every_target_walks_bins_too(new_device):
    repository = ARepository().add(MODEL)
    bins = repository.delegate("site-lab", ["sites/lab/*"], bins=3)
    paths = {f"sites/lab/cam-{number}.json" for number in range(20)}
    for path in paths:
        repository.add(path, role=bins.get_role_for_target(path))
    repository.publish()

    trusted = new_device(repository).refresh(repository.fetch)

    assert {target.path for _, target in trusted.every_target()} == paths | {MODEL}


def test_a_device_takes_no_second_root(device):
    other = ARepository().publish()

    with pytest.raises(NotTrusted, match="already obeys a root"):
        tuf.install_root(device.folder, other.files["1.root.json"], p256.verify)


def test_installing_the_same_root_again_changes_nothing(device, repository):
    tuf.install_root(device.folder, repository.files["1.root.json"], p256.verify)


def test_a_root_that_does_not_sign_itself_is_no_anchor(tmp_path, repository):
    one_signature = repository.publish_root(repository.root_keys[:1])

    with pytest.raises(NotTrusted, match="1 of the 2 signatures"):
        tuf.install_root(str(tmp_path / "x"), one_signature, p256.verify)


def test_a_device_without_a_root_says_how_to_get_one(tmp_path, repository):
    with pytest.raises(NotTrusted, match="no root to trust") as caught:
        tuf.refresh(str(tmp_path), repository.fetch, a_clock(), p256.verify)
    assert "edgeform enroll" in caught.value.hint


def test_metadata_for_a_whole_month_is_accepted_until_its_last_second(device, repository):
    last_s = int(days(30).timestamp()) - 1

    device.refresh(repository.fetch, a_clock(last_s))
    with pytest.raises(Stale, match="timestamp expired"):
        device.refresh(repository.fetch, a_clock(last_s + 1))
