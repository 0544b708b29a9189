import os

import pytest

from edgeform.domain.site import SecretRef
from edgeform.errors import NotTrusted, UsageError
from edgeform.secrets import (
    Resolver,
    SecretMissing,
    SecretValue,
    hmac_of,
    local_site_key,
    parse_reference,
    read_passphrase,
)

KEY = SecretValue(b"k" * 32)


@pytest.fixture
def resolver(tmp_path, secrets_file):
    secrets_file.set("wifi_psk", SecretValue(b"from file"))
    return Resolver(
        folder=tmp_path, environ={"WIFI": "from env"}, passphrase=secrets_file.passphrase
    )


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("env/WIFI_PSK", SecretRef(provider="env", path="WIFI_PSK")),
        ("file/secrets.json#wifi", SecretRef(provider="file", path="secrets.json", key="wifi")),
        ("file/a/b.json#c/d", SecretRef(provider="file", path="a/b.json", key="c/d")),
    ],
)
def test_a_reference_is_read_and_written_the_same(text, reference):
    assert parse_reference(text) == reference
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "env",
        "env/",
        "env/A-B",
        "env/A#b",
        "file/x.json",
        "file/#k",
        "file//etc/shadow#k",
        "file/../x#k",
        "file/a/../../x#k",
        "file/~/x\n#k",
        "vault/a#b",
        "plain text",
    ],
)
def test_what_is_no_reference_is_refused_with_examples(text):
    with pytest.raises(UsageError, match="is no secret reference") as caught:
        parse_reference(text)
    assert "env/NAME" in caught.value.hint


def test_a_reference_to_the_environment_is_resolved(resolver):
    assert resolver.resolve(parse_reference("env/WIFI")).reveal() == b"from env"


def test_a_reference_to_a_file_is_resolved(resolver):
    assert resolver.resolve(parse_reference("file/secrets.json#wifi_psk")).reveal() == b"from file"


@pytest.mark.parametrize("text", ["env/ABSENT", "file/secrets.json#absent", "file/absent.json#x"])
def test_a_secret_that_is_not_there_is_missing(resolver, text):
    with pytest.raises(SecretMissing):
        resolver.resolve(parse_reference(text))


def test_a_provider_that_edgeform_does_not_have_is_named(resolver):
    with pytest.raises(UsageError, match="'vault'"):
        resolver.resolve(SecretRef(provider="vault", path="a", key="b"))


def test_a_reference_made_in_code_cannot_climb_either(resolver):
    with pytest.raises(UsageError, match="is no secret reference"):
        resolver.resolve(SecretRef(provider="file", path="../../etc/shadow", key="x"))


def test_a_file_is_opened_once_for_all_its_secrets(tmp_path, secrets_file):
    secrets_file.set("a", KEY)
    secrets_file.set("b", KEY)
    asked = []

    def passphrase():
        asked.append(1)
        return secrets_file.passphrase()

    resolver = Resolver(folder=tmp_path, environ={}, passphrase=passphrase)
    for key in ("a", "b", "a"):
        resolver.resolve(parse_reference(f"file/secrets.json#{key}"))

    assert len(asked) == 1


def test_the_planner_gets_an_hmac_for_each_place_and_none_for_nothing(resolver):
    hmac = resolver.hmac_with(lambda: KEY)
    wifi = parse_reference("env/WIFI")

    assert hmac("cam-1", "wifi", wifi) == hmac_of(KEY, SecretValue(b"from env"), "cam-1/wifi")
    assert hmac("cam-1", "wifi", wifi) != hmac("cam-2", "wifi", wifi)
    assert hmac("cam-1", "wifi", parse_reference("env/ABSENT")) is None


def test_the_key_of_the_site_is_asked_for_once_and_only_for_a_secret(resolver):
    asked = []
    hmac = resolver.hmac_with(lambda: asked.append(1) or KEY)

    hmac("cam-1", "x", parse_reference("env/ABSENT"))
    assert asked == []
    for device in ("cam-1", "cam-2"):
        hmac(device, "wifi", parse_reference("env/WIFI"))
    assert asked == [1]


def test_a_local_site_key_is_made_once_for_its_owner_only(tmp_path):
    file = tmp_path / "state/site.key"

    key = local_site_key(file)

    assert file.stat().st_mode & 0o777 == 0o600
    assert local_site_key(file) == key
    assert [p.name for p in file.parent.iterdir()] == ["site.key"]


def test_a_local_site_key_that_others_may_read_is_refused(tmp_path):
    local_site_key(tmp_path / "site.key")
    (tmp_path / "site.key").chmod(0o644)

    with pytest.raises(NotTrusted, match="mode 0644"):
        local_site_key(tmp_path / "site.key")


@pytest.fixture
def passphrase_file(tmp_path):
    file = tmp_path / "passphrase"
    file.write_text("from file\n")
    file.chmod(0o600)
    return file


def test_a_passphrase_comes_from_the_environment(passphrase_file):
    environ = {"P": "from env", "P_FILE": str(passphrase_file)}

    assert read_passphrase("P", environ).reveal() == b"from env"


def test_a_passphrase_comes_from_a_private_file_without_its_newline(passphrase_file):
    assert read_passphrase("P", {"P_FILE": str(passphrase_file)}).reveal() == b"from file"


def test_a_passphrase_file_that_others_may_read_is_refused(passphrase_file):
    passphrase_file.chmod(0o604)

    with pytest.raises(NotTrusted, match="mode 0604"):
        read_passphrase("P", {"P_FILE": str(passphrase_file)})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_passphrase_file_of_somebody_else_is_refused(passphrase_file):
    os.chown(passphrase_file, 12345, 12345)

    with pytest.raises(NotTrusted, match="owner 12345"):
        read_passphrase("P", {"P_FILE": str(passphrase_file)})


def test_a_passphrase_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)

    with pytest.raises(UsageError, match="not a plain file"):
        read_passphrase("P", {"P_FILE": str(tmp_path / "pipe")})


@pytest.mark.parametrize("environ", [{}, {"P": ""}, {"P_FILE": "/nonexistent"}])
def test_no_passphrase_says_how_to_give_one(environ):
    with pytest.raises(UsageError):
        read_passphrase("P", environ)


def test_an_empty_passphrase_file_is_refused(passphrase_file):
    passphrase_file.write_text("\n")

    with pytest.raises(UsageError, match="empty"):
        read_passphrase("P", {"P_FILE": str(passphrase_file)})
