import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from edgeform import trust
from edgeform.errors import Corrupt, Locked, NotTrusted, UsageError
from edgeform.trust.files import locked

MODEL = "artifacts/model/digits/1.0/cpu.json"
DEPLOYMENT = "sites/lab/cam-1.json"


def test_a_development_repository_is_published_and_a_device_follows_it(development, tmp_path):
    development.publish(MODEL, DEPLOYMENT)

    trusted = development.device(tmp_path / "device")

    assert trusted.root_profile == "development"
    assert trusted.target(MODEL).length == 2
    assert trusted.target(DEPLOYMENT).length == 2


def test_python_tuf_follows_it_too(development, tmp_path):
    """The other client, on the real clock: it offers no other."""
    development.now = development.now.now(development.now.tzinfo)
    development.publish(MODEL)

    class Folder(FetcherInterface):
        def _fetch(self, url):
            file = development.repository.folder / url.removeprefix("repo:///")
            if not file.is_file():
                from tuf.api.exceptions import DownloadHTTPError

                raise DownloadHTTPError("absent", 404)
            yield file.read_bytes()

    for name in ("metadata", "targets"):
        (tmp_path / "client" / name).mkdir(parents=True)
    updater = Updater(
        str(tmp_path / "client/metadata"),
        "repo:///metadata/",
        str(tmp_path / "client/targets"),
        "repo:///targets/",
        fetcher=Folder(),
        bootstrap=(development.metadata / "1.root.json").read_bytes(),
    )
    updater.refresh()
    target = updater.get_targetinfo(MODEL)

    with open(updater.download_target(target), "rb") as stream:
        assert stream.read() == b"{}"


def test_custom_fields_are_signed_beside_the_digest(development, tmp_path):
    target = trust.NewTarget(path=MODEL, content=b"{}", custom={"epoch": 3})
    development.repository.stage(now=development.now, add=[target])
    development.publish()

    assert development.device(tmp_path / "device").target(MODEL).custom == {"epoch": 3}


def test_the_version_of_the_timestamp_is_the_time_and_never_stands_still(development):
    first = development.publish(MODEL)
    second = development.publish(DEPLOYMENT)
    third = development.later(days=1).publish()

    assert first.timestamp_version >= int(development.now.timestamp()) - 86_400
    assert second.timestamp_version == first.timestamp_version + 1
    assert third.timestamp_version == int(development.now.timestamp())


def test_staging_the_same_target_again_changes_nothing(development):
    development.publish(MODEL)

    assert development.stage(MODEL) == ()
    assert development.publish().roles == ()


def test_a_removed_target_is_no_longer_signed(development, tmp_path):
    development.publish(MODEL)
    assert development.device(tmp_path / "device").target(MODEL)

    assert development.stage(remove=[MODEL]) == ("models",)
    development.publish()

    assert development.device(tmp_path / "device").target(MODEL) is None


@pytest.mark.parametrize(
    "path",
    [
        "sites/other/cam.json",
        "artifacts/firmware/a/1/x.json",
        "x.json",
        "artifacts/model/a/1/b/c.json",
    ],
)
def test_a_path_that_no_role_may_sign_is_refused_before_it_is_lost(development, path):
    with pytest.raises(UsageError, match="may sign"):
        development.stage(path)


def test_a_new_site_gets_its_role_and_key(development, tmp_path):
    trust.add_site(development.trust, development.folder, "plant", now=development.now)
    development.open().publish("sites/plant/cam.json")

    assert development.device(tmp_path / "device").target("sites/plant/cam.json")


def test_an_existing_site_is_not_added_twice(development):
    with pytest.raises(UsageError, match="has its role already"):
        trust.add_site(development.trust, development.folder, "lab", now=development.now)


def test_a_second_init_is_refused(development):
    with pytest.raises(UsageError, match="here already"):
        trust.init_development(development.folder, (), lambda: b"x", now=development.now)


def test_roles_that_expire_soon_are_renewed_while_their_keys_are_at_hand(development, tmp_path):
    published = development.later(days=25).publish()

    assert set(published.roles) == {"models", "runtimes", "drivers", "goldens", "site-lab"}
    development.later(days=6)
    development.publish()
    assert development.device(tmp_path / "device").versions()["targets"] == 1


def test_a_role_that_expires_soon_without_its_key_is_named(development):
    (development.folder / "keys/models.pem").unlink()

    assert development.open().later(days=25).publish().expiring == ("models",)


def test_a_timestamp_for_a_stick_holds_longer(development):
    published = development.publish(valid_for=timedelta(days=90))

    assert (published.expires - development.now).days == 89


def test_bins_spread_a_fleet_and_a_device_holds_little(place, tmp_path):
    trust.init_development(place.folder, ("lab",), lambda: b"x", now=place.now, bin_bits=4)
    place.trust = trust.open_trust(place.folder, lambda: b"x")
    paths = [f"sites/lab/cam-{number}.json" for number in range(300)]
    place.publish(*paths)

    assert place.device(tmp_path / "device").target(paths[7])
    held = sum(file.stat().st_size for file in (tmp_path / "device").rglob("*.json"))
    assert held < 50_000
    assert place.verify().targets == 300


# Several people


@pytest.fixture
def production(place):
    """Root and targets two of three, in three people's folders; one machine holds the online keys."""
    layout = trust.production_layout(("lab",))
    keys = {}
    for role in layout.roles:
        keys[role.name] = tuple(
            trust.generate_key(
                place.folder / f"keys/{role.name}-{n}.pem",
                lambda: b"x",
                uri=f"file:keys/{role.name}-{n}.pem",
                scrypt_p=1,
            )
            for n in range(role.key_count)
        )
    place.away = place.folder / "away"
    place.away.mkdir()
    for role in ("root", "targets", "core"):
        for n in (1, 2):
            file = place.folder / f"keys/{role}-{n}.pem"
            file.rename(place.away / file.name)
    place.signings = trust.init_production(place.folder, layout, keys, lambda: b"x", now=place.now)
    return place.open()


def come(place, *names):
    """A key holder comes with a key, signs, and leaves with it."""
    for name in names:
        (place.away / name).rename(place.folder / "keys" / name)
    place.trust = trust.open_trust(place.folder, lambda: b"x")
    signed = trust.sign(place.repository, place.trust.keyring)
    for name in names:
        (place.folder / "keys" / name).rename(place.away / name)
    place.trust = trust.open_trust(place.folder, lambda: b"x")
    return signed


def test_a_production_repository_lists_the_signatures_it_waits_for(production):
    missing = {signing.role: signing.missing for signing in production.signings if signing.missing}

    assert missing == {"root": 1, "targets": 1, "core": 1}


def test_publishing_below_a_threshold_is_refused_and_writes_nothing(production):
    with pytest.raises(NotTrusted, match="root version 1 carries 1 of the 2 signatures"):
        production.publish()
    assert not production.metadata.exists()


def test_people_sign_one_after_another_and_then_it_is_published(production, tmp_path):
    signed = come(production, "root-1.pem", "targets-2.pem", "core-2.pem")

    assert all(signing.missing == 0 for signing in signed)
    production.trust = trust.open_trust(production.folder, lambda: b"x")
    production.publish(MODEL)
    trusted = production.device(tmp_path / "device")
    assert trusted.root_profile == "production"
    assert trusted.target(MODEL)


def test_either_of_the_two_timestamp_keys_is_enough(production, tmp_path):
    come(production, "root-1.pem", "targets-1.pem", "core-1.pem")
    for number in (0, 1):
        gone = production.folder / f"keys/timestamp-{1 - number}.pem"
        gone.rename(production.away / gone.name)
        production.trust = trust.open_trust(production.folder, lambda: b"x")
        production.later(hours=1).publish()
        assert production.device(tmp_path / "device").versions()["root"] == 1
        (production.away / gone.name).rename(gone)


def test_without_a_timestamp_key_nothing_is_published(production):
    come(production, "root-1.pem", "targets-1.pem", "core-1.pem")
    for number in (0, 1):
        (production.folder / f"keys/timestamp-{number}.pem").unlink()
    production.trust = trust.open_trust(production.folder, lambda: b"x")

    with pytest.raises(NotTrusted, match=r"timestamp version .* carries 0 of the 1"):
        production.publish()


def test_production_with_too_few_keys_is_refused(place):
    layout = trust.production_layout()

    with pytest.raises(UsageError, match="'root' has 0 different keys; it needs 3"):
        trust.init_production(place.folder, layout, {}, lambda: b"x", now=place.now)


def test_one_key_given_three_times_is_one_key(place):
    key = trust.generate_key(place.folder / "keys/a.pem", lambda: b"x", scrypt_p=1)
    layout = trust.production_layout()

    with pytest.raises(UsageError, match="has 1 different keys"):
        trust.init_production(
            place.folder, layout, {"root": (key, key, key)}, lambda: b"x", now=place.now
        )


# Interrupted, damaged, shared


class Killed(BaseException):
    """As SIGKILL: nothing of ours may catch it."""


def killed_after(patch, calls):
    left = {"calls": calls}

    def wrap(function):
        def stopped(*arguments, **options):
            if left["calls"] == 0:
                raise Killed
            left["calls"] -= 1
            return function(*arguments, **options)

        return stopped

    for name in ("fsync", "replace", "rename", "unlink"):
        patch.setattr(os, name, wrap(getattr(os, name)))
    return left


def test_a_publish_killed_at_any_write_leaves_the_old_or_the_new_repository(
    development, tmp_path, monkeypatch
):
    """Every fsync, rename and unlink; afterwards a device is content, and publishing goes on."""
    killed = 0
    for calls in range(60):
        content = f'{{"n": {calls}}}'.encode()
        before = development.later(minutes=1).verify().targets
        with monkeypatch.context() as patch:
            left = killed_after(patch, calls)
            try:
                development.stage(f"sites/lab/cam-{calls}.json", content=content)
                development.publish()
            except Killed:
                killed += 1
        assert development.verify().targets in (before, before + 1)
        development.open().stage(f"sites/lab/cam-{calls}.json", content=content)
        development.publish()
        assert development.verify().targets == before + 1
        development.device(tmp_path / "device")
        if left["calls"] > 0:
            break
    assert killed >= 12


def test_a_publish_killed_by_the_kernel_leaves_a_valid_repository(development, tmp_path):
    """The same with a real SIGKILL: the lock is gone with its holder."""
    script = (
        "import os, signal, sys\n"
        "from datetime import datetime\n"
        "from pathlib import Path\n"
        "from edgeform import trust\n"
        "t = trust.open_trust(Path(sys.argv[1]), lambda: b'correct horse')\n"
        "now = datetime.fromisoformat(sys.argv[2])\n"
        "target = trust.NewTarget(path='sites/lab/cam.json', content=b'{}')\n"
        "t.repository.stage(now=now, add=[target])\n"
        "from edgeform.trust import publication as module\n"
        "before = module.replace_file\n"
        "def replace_file(file, content):\n"
        "    if file.name == 'timestamp.json':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    before(file, content)\n"
        "module.replace_file = replace_file\n"
        "trust.publish(t.repository, t.keyring, now=now)\n"
    )
    command = (sys.executable, "-c", script, str(development.folder), development.now.isoformat())
    assert subprocess.run(command, check=False, timeout=60).returncode == -9

    assert development.device(tmp_path / "device").target("sites/lab/cam.json") is None
    development.publish()
    assert development.device(tmp_path / "device").target("sites/lab/cam.json")


def test_two_who_publish_at_once_are_told(development):
    with (
        locked(development.repository.folder),
        pytest.raises(Locked, match=rf"pid {os.getpid()}"),
    ):
        development.publish()


def test_metadata_that_is_referred_to_but_missing_is_corrupt(development):
    development.publish(MODEL)
    (development.metadata / "2.models.json").unlink()

    with pytest.raises(Corrupt, match="it is not there"):
        development.repository.published_role("models")


def test_metadata_that_was_damaged_is_not_trusted(development):
    (development.metadata / "1.models.json").write_text("{")

    with pytest.raises(NotTrusted, match="Not well-formed"):
        development.repository.published_role("models")


def test_there_is_no_secret_in_what_may_be_copied(development):
    """The repository folder goes to sticks and buckets; the keys beside it do not."""
    for file in development.repository.folder.rglob("*"):
        if file.is_file():
            assert b"PRIVATE" not in file.read_bytes()


def test_every_published_file_is_named_by_its_version_but_the_timestamp(development):
    development.publish(MODEL)
    names = {file.name for file in development.metadata.iterdir()}

    assert {"timestamp.json", "1.root.json", "2.snapshot.json", "2.models.json"} <= names
    assert json.loads((development.metadata / "1.root.json").read_text())["signed"][
        "consistent_snapshot"
    ]
