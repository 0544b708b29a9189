"""Each attack as one sentence: rows of the attack table in docs/security.md (A3, A4, A8, A9).

Every refusal must be a DeviceError that names the role, and must leave the device able to go on.
"""

import copy
import json
from datetime import UTC, datetime

import pytest
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner
from support.tuf_repo import ARepository, a_clock, days, pinned, refused

from edgeform_device.errors import Corrupt, DeviceError, NotTrusted, Stale

MODEL = "artifacts/model/digits/1.0/cpu.json"
Y1970 = 3600


@pytest.fixture
def updated(device, repository):
    """The device has seen version 1, the repository offers version 2."""
    device.refresh(repository.fetch)
    return repository.add(MODEL, b"newer").publish()


def serving(files):
    return lambda name, limit: files[name][: limit + 1] if name in files else None


# Going back


def test_a_whole_old_stick_is_refused_and_told_from_a_bad_signature(device, repository):
    old = repository.copy()
    repository.add(MODEL, b"newer").publish()
    device.refresh(repository.fetch)

    with pytest.raises(NotTrusted, match="already has newer metadata: timestamp version 2"):
        device.refresh(serving(old))


def test_an_old_stick_says_when_both_were_made(device, repository):
    old = repository.copy()
    repository.timestamp.unrecognized_fields["x-edgeform-issued"] = "2026-11-22T11:30:00Z"
    repository.publish()
    device.refresh(repository.fetch)

    with pytest.raises(NotTrusted) as caught:
        device.refresh(serving(old))
    assert "2026-11-22T12:00:00Z" in caught.value.detail
    assert "2026-11-22T11:30:00Z" in caught.value.detail


def test_a_timestamp_that_goes_back_by_its_stolen_key_is_refused(device, updated):
    device.refresh(updated.fetch)
    updated.resign_timestamp(version=1)

    with pytest.raises(NotTrusted, match="already has newer"):
        device.refresh(updated.fetch)


def test_a_new_timestamp_for_an_old_snapshot_is_refused(device, repository):
    old = copy.deepcopy(repository.timestamp.snapshot_meta)
    repository.add(MODEL, b"newer").publish()
    device.refresh(repository.fetch)
    repository.resign_timestamp(version=9, snapshot_meta=old)

    with pytest.raises(NotTrusted, match="snapshot version 2, offered is 1"):
        device.refresh(repository.fetch)


def test_a_new_snapshot_with_an_older_role_is_refused(device, updated):
    device.refresh(updated.fetch)
    updated.snapshot.version += 1
    updated.timestamp.version += 1
    updated.targets.version = 1
    updated.publish(bump=False)

    with pytest.raises(NotTrusted, match=r"targets\.json version 2, offered is 1"):
        device.refresh(updated.fetch)


def test_a_role_that_disappears_from_the_snapshot_is_refused(new_device):
    repository = ARepository()
    repository.delegate("models", ["artifacts/model/*/*/*"])
    device = new_device(repository.add(MODEL, role="models").publish())
    device.refresh(repository.fetch)
    del repository.delegated["models"]
    del repository.snapshot.meta["models.json"]
    repository.publish()

    with pytest.raises(NotTrusted, match=r"models\.json has disappeared"):
        device.refresh(repository.fetch)


def test_a_fast_forward_by_a_stolen_timestamp_key_is_healed_by_rotating_it(device, repository):
    repository.resign_timestamp(version=2**40)
    device.refresh(repository.fetch)
    thief = repository.keys["timestamp"]
    repository.keys["timestamp"] = CryptoSigner.generate_ecdsa()
    repository.root.version += 1
    repository.root.revoke_key(thief.public_key.keyid, "timestamp")
    repository.root.add_key(repository.keys["timestamp"].public_key, "timestamp")
    repository.publish_root()
    repository.publish()

    assert device.refresh(repository.fetch).versions()["timestamp"] == 2


# Mixing and changing


def test_unsigned_edits_are_found_by_the_digest_above(device, updated):
    updated.edit_json("2.targets.json", lambda d: d["signed"]["targets"][MODEL].update(length=1))

    with pytest.raises(Corrupt, match="targets is not the file"):
        device.refresh(updated.fetch)


def test_other_targets_that_are_validly_signed_do_not_fit_the_old_snapshot(device, updated):
    updated.targets.targets.pop(MODEL)
    data = updated.signed(updated.targets, [updated.keys["targets"]])
    updated.files["2.targets.json"] = data

    with refused(Corrupt, "mixed from two publications"):
        device.refresh(updated.fetch)


def test_an_old_snapshot_under_a_new_timestamp_is_refused(device, updated):
    updated.files["2.snapshot.json"] = updated.files["1.snapshot.json"]

    with pytest.raises(Corrupt, match="snapshot"):
        device.refresh(updated.fetch)


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json"])
def test_a_missing_file_is_refused_and_named(device, updated, name):
    del updated.files[name]

    with pytest.raises(NotTrusted, match=f"{name} is missing"):
        device.refresh(updated.fetch)


@pytest.mark.parametrize(
    "name", ["timestamp.json", "2.snapshot.json", "2.targets.json", "2.root.json"]
)
def test_endless_data_is_cut_off(device, updated, name):
    updated.files[name] = updated.files.get(name, b"{}") + b" " * 6_000_000

    with pytest.raises(Corrupt, match="longer than the"):
        device.refresh(updated.fetch)


def test_no_file_is_read_further_than_its_limit(device, updated):
    limits = {}

    def fetch(name, limit):
        limits[name] = limit
        return updated.fetch(name, limit)

    device.refresh(fetch)

    assert limits["timestamp.json"] <= 16_384
    assert limits["2.targets.json"] == len(updated.files["2.targets.json"])


# Signatures


def test_a_timestamp_by_an_unknown_key_is_refused(device, repository):
    repository.resign_timestamp(CryptoSigner.generate_ecdsa())

    with pytest.raises(NotTrusted, match="timestamp carries 0 of the 1") as caught:
        device.refresh(repository.fetch)
    assert "is no key of this role" in caught.value.detail


def test_a_timestamp_by_the_key_of_another_role_is_refused(device, repository):
    repository.resign_timestamp(repository.keys["targets"])

    with pytest.raises(NotTrusted, match="timestamp carries 0 of the 1"):
        device.refresh(repository.fetch)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_metadata_without_any_signature_is_refused(device, repository, role):
    keys = {**repository.keys, role: None}
    signed = repository.signed
    repository.signed = lambda value, signers: signed(value, [s for s in signers if s])
    repository.keys = keys
    repository.publish()

    with pytest.raises(NotTrusted, match=f"{role} carries 0 of the 1") as caught:
        device.refresh(repository.fetch)
    assert caught.value.detail == "It carries no signature at all."


def test_one_signature_listed_twice_is_refused(device, repository):
    repository.rotate_root(lambda new, stay: stay[:1])
    repository.edit_json("2.root.json", lambda d: d["signatures"].append(d["signatures"][0]))

    with refused(NotTrusted, "one key id is listed twice"):
        device.refresh(repository.fetch)


def test_one_key_under_two_ids_counts_once(new_device):
    """Key ids are only names: counting them would let one person be two."""
    repository = ARepository()
    repository.root.version = 2
    key = repository.root_keys[0].public_key
    twin = copy.deepcopy(key)
    twin.keyid = "f" * 64
    repository.root.keys[twin.keyid] = twin
    repository.root.roles["root"].keyids.append(twin.keyid)
    repository.publish_root()
    repository.root.version = 3
    repository.publish_root(repository.root_keys[:1])
    document = json.loads(repository.files["3.root.json"])
    document["signatures"].append({**document["signatures"][0], "keyid": twin.keyid})
    repository.files["3.root.json"] = json.dumps(document, separators=(",", ":")).encode()
    device = new_device(repository.publish())

    with pytest.raises(NotTrusted, match="root carries 1 of the 2"):
        device.refresh(repository.fetch)


@pytest.mark.parametrize("make", [CryptoSigner.generate_ed25519, CryptoSigner.generate_rsa])
def test_keys_of_other_kinds_are_refused_and_named(new_device, make):
    repository = ARepository()
    signer = make()
    repository.root.revoke_key(repository.keys["timestamp"].public_key.keyid, "timestamp")
    repository.root.add_key(signer.public_key, "timestamp")
    repository.keys["timestamp"] = signer
    repository.publish_root()
    device = new_device(repository.publish())

    with pytest.raises(NotTrusted, match="timestamp carries 0") as caught:
        device.refresh(repository.fetch)
    assert "is not an ECDSA P-256 key" in caught.value.detail


def test_a_role_verified_for_one_delegator_is_not_believed_for_another(new_device):
    """python-tuf 7.0.0 had this defect: a cached verdict outlived its delegator."""
    repository = ARepository()
    repository.delegate("shared", ["sites/a/*"])
    device = new_device(repository.add("sites/a/x.json", role="shared").publish())
    assert device.refresh(repository.fetch).target("sites/a/x.json") is not None
    rule = repository.targets.delegations.roles["shared"]
    rule.keyids[:] = []
    repository.targets.add_key(CryptoSigner.generate_ecdsa().public_key, "shared")
    repository.publish()

    with pytest.raises(NotTrusted, match="shared carries 0 of the 1"):
        device.refresh(repository.fetch).target("sites/a/x.json")


def test_a_delegated_role_that_the_snapshot_does_not_list_is_refused(new_device):
    repository = ARepository()
    repository.delegate("models", ["artifacts/model/*/*/*"])
    del repository.delegated["models"]
    device = new_device(repository.publish())

    with pytest.raises(NotTrusted, match="models is delegated to, but the snapshot does not list"):
        device.refresh(repository.fetch).target(MODEL)


# Root


def test_a_root_by_two_of_three_old_and_new_keys_is_followed(device, repository):
    repository.rotate_root()

    assert device.refresh(repository.fetch).versions()["root"] == 2


@pytest.mark.parametrize(
    ("who", "signers"),
    [
        ("one of three old keys", lambda new, stay: stay[:1]),
        ("one old key and the new one", lambda new, stay: [stay[0], new]),
        ("two keys of an attacker", lambda new, stay: [new, CryptoSigner.generate_ecdsa()]),
    ],
)
def test_a_root_by_too_few_old_keys_is_refused(device, repository, who, signers):
    repository.rotate_root(signers)

    with pytest.raises(NotTrusted, match="root carries"):
        device.refresh(repository.fetch)


def test_a_revoked_root_key_and_a_new_one_cannot_make_a_root(device, repository):
    lost = repository.root_keys[2]
    repository.rotate_root(lambda new, stay: [lost, new])

    with pytest.raises(NotTrusted, match="root carries"):
        device.refresh(repository.fetch)


def test_a_root_file_that_claims_another_version_is_refused(device, repository):
    repository.rotate_root(bump=2)
    repository.files["2.root.json"] = repository.files.pop("3.root.json")

    with pytest.raises(NotTrusted, match="says version 3 where version 2 must follow"):
        device.refresh(repository.fetch)


def test_a_device_asleep_for_five_rotations_follows_the_chain(device, repository):
    for _ in range(5):
        repository.rotate_root(lost=0)
    repository.publish()

    assert device.refresh(repository.fetch).versions()["root"] == 6


def test_a_gap_in_the_chain_stops_there(device, repository):
    """What is below must then still verify; here it does, since only root keys were rotated."""
    for _ in range(5):
        repository.rotate_root(lost=0)
    del repository.files["4.root.json"]

    assert device.refresh(repository.fetch).versions()["root"] == 3


def test_an_expired_root_is_refused(device, repository):
    repository.root.expires = days(-1)
    repository.rotate_root()

    with pytest.raises(Stale, match="root expired at"):
        device.refresh(repository.fetch)


def test_an_expired_root_in_the_middle_of_the_chain_is_a_step_like_any_other(device, repository):
    repository.root.expires = days(-1)
    repository.rotate_root()
    repository.root.expires = days(100)
    repository.rotate_root()

    assert device.refresh(repository.fetch).versions()["root"] == 3


def test_a_development_root_cannot_become_a_production_root(new_device):
    repository = ARepository(profile="development")
    device = new_device(repository.publish())
    repository.root.unrecognized_fields["x-edgeform-profile"] = "production"
    repository.rotate_root()

    with pytest.raises(NotTrusted, match="turns a development root into a production root"):
        device.refresh(repository.fetch)


# Time


def test_a_frozen_repository_is_refused_once_its_timestamp_expired(device, repository):
    repository.resign_timestamp(expires=days(-1), unrecognized_fields={})

    with pytest.raises(Stale, match="timestamp expired at 2026-11-21") as caught:
        device.refresh(repository.fetch)
    assert "2026-11-22T12:00:00Z or later" in caught.value.detail


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_every_role_expires(device, repository, role):
    getattr(repository, role).expires = days(-1)
    repository.publish()

    with pytest.raises(Stale, match=f"{role} expired"):
        device.refresh(repository.fetch)


def test_without_a_clock_the_newest_signed_time_still_refuses_what_expired_before(
    device, repository
):
    """A device at 1970 that has seen today's metadata cannot be frozen with last month's."""
    device.refresh(repository.fetch, a_clock(Y1970))
    repository.targets.expires = days(-1)
    repository.publish()

    with pytest.raises(Stale, match="targets expired"):
        device.refresh(repository.fetch, a_clock(Y1970))


def test_without_a_clock_fresh_metadata_installs_and_freshness_is_unknown(device, repository):
    assert device.refresh(repository.fetch, a_clock(Y1970)).freshness == "unknown"
    assert device.refresh(repository.fetch, a_clock()).freshness == "known"


def test_a_clock_in_2036_neither_expires_everything_nor_counts_as_known(device, repository):
    assert device.refresh(repository.fetch, a_clock(2_085_978_496)).freshness == "unknown"


def test_require_clock_refuses_where_the_time_is_unknown(device, repository):
    with pytest.raises(Stale, match="require_clock"):
        device.refresh(repository.fetch, a_clock(Y1970, is_required=True))


def test_a_stolen_timestamp_key_that_signs_from_the_future_is_healed_by_rotating_it(
    device, repository
):
    """It can stop updates, as it can by silence; a new key in root must be enough to go on."""
    future = {"x-edgeform-issued": "2035-01-01T00:00:00Z"}
    until = datetime(2036, 1, 1, tzinfo=UTC)
    repository.resign_timestamp(version=5, expires=until, unrecognized_fields=future)
    with pytest.raises(Stale):
        device.refresh(repository.fetch)
    thief = repository.keys["timestamp"]
    repository.keys["timestamp"] = CryptoSigner.generate_ecdsa()
    repository.root.version += 1
    repository.root.revoke_key(thief.public_key.keyid, "timestamp")
    repository.root.add_key(repository.keys["timestamp"].public_key, "timestamp")
    repository.publish_root()
    repository.publish()

    assert device.refresh(repository.fetch).freshness == "known"


def test_a_time_of_issue_after_the_expiry_is_malformed(device, repository):
    late = {"x-edgeform-issued": days(100).strftime("%Y-%m-%dT%H:%M:%SZ")}
    repository.resign_timestamp(version=2, unrecognized_fields=late)

    with pytest.raises(NotTrusted, match="timestamp is not well-formed"):
        device.refresh(repository.fetch)


# Names and paths


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "a//b", "a/./b", "a\\b", "", "a/../../b"]
)
def test_a_target_path_that_climbs_is_refused(device, repository, path):
    with pytest.raises(NotTrusted, match="is no path of a target"):
        device.refresh(repository.fetch).target(path)


@pytest.mark.parametrize("name", ["../../evil", "/evil", "evil\x1b[31m\n", "ev/il"])
def test_the_name_of_a_role_cannot_leave_the_folder_or_colour_the_log(new_device, tmp_path, name):
    repository = ARepository()
    repository.delegate(name, ["sites/lab/*"])
    del repository.delegated[name]
    device = new_device(repository.publish())

    with pytest.raises(NotTrusted) as caught:
        device.refresh(repository.fetch).target("sites/lab/x.json")
    text = caught.value.summary + caught.value.detail
    assert "\x1b" not in text
    assert "\n" not in caught.value.summary
    assert sorted(p.name for p in tmp_path.rglob("*.json")) == [
        "root.json",
        "snapshot.json",
        "targets.json",
        "timestamp.json",
    ]


@pytest.mark.parametrize("name", ["root", "timestamp", "snapshot", "targets"])
def test_a_delegated_role_cannot_take_the_name_of_a_top_level_role(device, repository, name):
    """Its file would replace the device's root."""
    repository.delegate("models", ["*"])
    repository.publish()

    def rename(document):
        document["signed"]["delegations"]["roles"][0]["name"] = name

    repository.edit_json("2.targets.json", rename)
    data = resigned(repository, "2.targets.json", repository.keys["targets"])
    pin_targets(repository, data)

    with pytest.raises(NotTrusted, match="targets is not well-formed"):
        device.refresh(repository.fetch)


def resigned(repository, name, signer):
    document = json.loads(repository.files[name])
    signature = signer.sign(encode_canonical(document["signed"]).encode())
    document["signatures"] = [{"keyid": signature.keyid, "sig": signature.signature}]
    repository.files[name] = json.dumps(document, separators=(",", ":")).encode()
    return repository.files[name]


def pin_targets(repository, data):
    repository.snapshot.meta["targets.json"] = pinned(data, 2)
    snapshot = repository.signed(repository.snapshot, [repository.keys["snapshot"]])
    repository.files["2.snapshot.json"] = snapshot
    repository.timestamp.snapshot_meta = pinned(snapshot, 2)
    repository.resign_timestamp()


# After any of these


def test_after_a_refusal_the_honest_repository_is_still_followed(device, updated):
    honest = updated.copy()
    for name in ("timestamp.json", "2.snapshot.json", "2.targets.json"):
        forged = {**honest, name: honest[name].replace(b"2", b"3", 1)}
        with pytest.raises(DeviceError):
            device.refresh(serving(forged))

    assert device.refresh(serving(honest)).target(MODEL).length == len(b"newer")
