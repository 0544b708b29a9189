"""A seeded secret goes through everything there is, and is looked for everywhere afterwards (A18)."""

import io
import json
import logging
import os
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from edgeform.errors import EdgeformError
from edgeform.secrets import (
    Resolver,
    SecretsFile,
    SecretValue,
    hmac_of,
    local_site_key,
    parse_reference,
    read_passphrase,
)

CANARY = "canary-7c1d9e"
PASSPHRASE = "canary-passphrase-40b2"
SEEDS = (CANARY, PASSPHRASE)


def leaks(text):
    import base64

    forms = [
        form
        for seed in SEEDS
        for form in (seed, seed.encode().hex(), base64.b64encode(seed.encode()).decode()[:12])
    ]
    return [form for form in forms if form in text]


def every_text_of(error):
    """What any reporter could print: the message, the whole chain, the locals of every frame."""
    yield "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format(chain=True)
    )
    while error is not None:
        yield repr(error)
        yield repr(error.args)
        yield repr({k: v for k, v in vars(error).items() if isinstance(v, str | bytes)})
        if isinstance(error, EdgeformError):
            yield error.rendered()
        error = error.__cause__ or error.__context__


def a_file(tmp_path, passphrase=PASSPHRASE):
    return SecretsFile(
        file=tmp_path / "secrets.json",
        passphrase=lambda: SecretValue(passphrase.encode()),
        scrypt_n=2,
    )


def truncated(tmp_path):
    file = a_file(tmp_path)
    file.set("other", SecretValue(CANARY.encode()))
    file.file.write_text(file.file.read_text()[:-40])
    file.get("other")


def wrong_passphrase(tmp_path):
    a_file(tmp_path).set("wifi", SecretValue(CANARY.encode()))
    a_file(tmp_path, "wrong").get("wifi")


def not_the_plain_text_we_write(tmp_path):
    """The right key, but the contents are no JSON: the parser's error would hold all of them."""
    from edgeform.secrets import encrypted_file

    file = a_file(tmp_path)
    file.set("wifi", SecretValue(b"x"))
    header, nonce, _ = file._envelope()
    key = encrypted_file._derive(file.passphrase(), header)
    sealed = encrypted_file.AESGCM(key).encrypt(
        nonce, f"{{{CANARY}".encode(), encrypted_file._canonical(header)
    )
    document = json.loads(file.file.read_text())
    document["ciphertext"] = encrypted_file._text(sealed)
    file.file.write_text(json.dumps(document))
    del sealed
    file.get("wifi")


def no_space(*_):
    raise OSError(28, "No space left on device")


def disk_full(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        a_file(tmp_path).set("wifi", SecretValue(CANARY.encode()))


def site_key_on_a_full_disk(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        local_site_key(tmp_path / "k", lambda _: CANARY.encode())


FAILURES = {
    "wrong passphrase": wrong_passphrase,
    "truncated file": truncated,
    "contents of another form": not_the_plain_text_we_write,
    "no such entry": lambda p: (
        a_file(p).set("a", SecretValue(CANARY.encode())),
        a_file(p).get("b"),
    ),
    "no such entry to remove": lambda p: (
        a_file(p).set("a", SecretValue(CANARY.encode())),
        a_file(p).remove("b"),
    ),
    "bad name": lambda p: a_file(p).set("bad name", SecretValue(CANARY.encode())),
    "value too long": lambda p: a_file(p).set("a", SecretValue(CANARY.encode() * 9000)),
    "folder instead of a file": lambda p: replace(a_file(p), file=p).set(
        "a", SecretValue(CANARY.encode())
    ),
    "missing variable": lambda p: Resolver(
        folder=p, environ={"OTHER": CANARY}, passphrase=lambda: SecretValue(PASSPHRASE.encode())
    ).resolve(parse_reference("env/ABSENT")),
    "passphrase file too long": lambda p: (
        (p / "long").write_text(PASSPHRASE * 1000),
        (p / "long").chmod(0o600),
        read_passphrase("P", {"P_FILE": str(p / "long")}),
    ),
    "disk full": disk_full,
    "site key on a full disk": site_key_on_a_full_disk,
    "pickled": lambda p: __import__("pickle").dumps(SecretValue(CANARY.encode())),
    "as json": lambda p: json.dumps({"a": SecretValue(CANARY.encode())}),
    "added to a string": lambda p: "password: " + SecretValue(CANARY.encode()),
    "public site key": lambda p: (
        (p / "k").write_text(CANARY),
        local_site_key(p / "k"),
    ),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_no_failure_shows_the_canary(tmp_path, failure):
    try:
        failure(tmp_path)
    except Exception as exc:
        found = [leak for text in every_text_of(own_frames(exc)) for leak in leaks(text)]
        assert found == []
    else:
        pytest.fail("it was meant to fail")


def own_frames(error):
    """Only edgeform's frames: this test's own source lines and the library's say the canary."""
    seen = error
    while seen is not None:
        frame = seen.__traceback__
        while frame is not None and "/edgeform/" not in frame.tb_frame.f_code.co_filename:
            frame = frame.tb_next
        seen.__traceback__ = frame
        seen = seen.__cause__ or seen.__context__
    return error


def test_no_success_shows_the_canary(tmp_path, caplog, capfd):
    """Set, list, resolve, HMAC: nothing in logs, output, files or any repr on the way."""
    said = io.StringIO()
    with caplog.at_level(logging.DEBUG):
        file = a_file(tmp_path)
        file.set("wifi", SecretValue(CANARY.encode()))
        resolver = Resolver(folder=tmp_path, environ={"WIFI": CANARY}, passphrase=file.passphrase)
        values = [
            resolver.resolve(parse_reference(r)) for r in ("env/WIFI", "file/secrets.json#wifi")
        ]
        key = local_site_key(tmp_path / "site.key")
        print(file.names(), values, key, hmac_of(key, values[0]), file.everything(), file=said)
        print({name: str(getattr(file, name)) for name in ("file", "scrypt_n")}, file=said)
        print(
            resolver.hmac_with(lambda: key)("cam", "wifi", parse_reference("env/WIFI")), file=said
        )
    everything = said.getvalue() + caplog.text + "".join(capfd.readouterr())
    everything += "".join(p.read_bytes().decode("latin-1") for p in tmp_path.iterdir())

    assert [value.reveal() for value in values] == [CANARY.encode()] * 2
    assert leaks(everything) == []


def test_the_repr_of_a_resolver_does_not_show_its_environment(tmp_path):
    resolver = Resolver(
        folder=tmp_path, environ={"WIFI": CANARY}, passphrase=lambda: SecretValue(b"")
    )

    assert leaks(repr(resolver)) == []


def test_a_crash_that_nobody_catches_shows_no_canary(tmp_path):
    """The interpreter's own last words, in a process of its own."""
    script = (
        "import sys; from pathlib import Path\n"
        "from edgeform.secrets import SecretsFile, SecretValue\n"
        "value = SecretValue(sys.stdin.buffer.read())\n"
        "file = SecretsFile(file=Path(sys.argv[1]), passphrase=lambda: value, scrypt_n=2)\n"
        "file.set('a', value)\n"
        "file.passphrase\n"
        "SecretsFile(file=Path(sys.argv[1]), passphrase=lambda: SecretValue(b'x')).get('a')\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", script, str(tmp_path / "secrets.json")),
        input=CANARY.encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert b"SecretFileDamaged" in done.stderr
    assert leaks((done.stdout + done.stderr).decode()) == []
    assert leaks((tmp_path / "secrets.json").read_text()) == []
    assert Path(tmp_path / "secrets.json").is_file()
