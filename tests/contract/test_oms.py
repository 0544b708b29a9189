"""OMS signatures, both ways with the `model_signing` tool, which runs as a process of its own."""

import datetime as dt
import json
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from support.peers import peer

from edgeform.errors import UsageError
from edgeform.trust import oms

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
FILES = {
    "model.onnx": b"\x08\x07" * 50,
    "sub/weights.bin": b"w" * 99,
    "sub-x": b"",
    "labels.txt": b"0\n",
}


CURVES = [
    ec.SECP256R1,
    pytest.param(ec.SECP384R1, marks=pytest.mark.slow),
    pytest.param(ec.SECP521R1, marks=pytest.mark.slow),
]


def model_signing(*arguments):
    command = (peer("model_signing"), *map(str, arguments))
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)


@pytest.fixture
def model(tmp_path):
    for path, content in FILES.items():
        (tmp_path / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / path).write_bytes(content)
    return tmp_path / "model"


def a_key(folder, name="key", curve=ec.SECP256R1):
    key = ec.generate_private_key(curve())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pem").write_bytes(private)
    (folder / f"{name}.pub").write_bytes(public)
    return key, private, public


def signed(model, private):
    (model / "model.sig").write_bytes(oms.sign(model, private, None, name="digits"))
    return model / "model.sig"


def verified(model, public, signature):
    trusted = oms.ByKey(pems=(public,))
    return oms.verify(model, signature.read_bytes(), trusted, signature=signature)


@pytest.mark.parametrize("curve", CURVES)
def test_what_model_signing_signs_is_accepted(model, tmp_path, curve):
    _, _, public = a_key(tmp_path, curve=curve)
    done = model_signing(
        "sign",
        "key",
        model,
        "--private_key",
        tmp_path / "key.pem",
        "--signature",
        tmp_path / "m.sig",
    )
    assert done.returncode == 0, done.stderr
    assert verified(model, public, tmp_path / "m.sig").files == len(FILES)


@pytest.mark.parametrize("curve", CURVES)
def test_what_edgeform_signs_model_signing_accepts(model, tmp_path, curve):
    _, private, _ = a_key(tmp_path, curve=curve)
    signature = signed(model, private)
    check = ("verify", "key", model, "--public_key", tmp_path / "key.pub", "--signature", signature)
    done = model_signing(*check)
    assert done.returncode == 0, done.stderr + done.stdout
    (model / "labels.txt").write_bytes(b"1\n")
    assert model_signing(*check).returncode != 0


def changed(model):
    (model / "labels.txt").write_bytes(b"1\n")


def added(model):
    (model / "extra.bin").write_bytes(b"")


def hidden(model):
    (model / ".git" / "hooks").mkdir(parents=True)
    (model / ".git" / "hooks" / "post-checkout").write_bytes(b"#!/bin/sh\n")


def removed(model):
    (model / "labels.txt").unlink()


def renamed(model):
    (model / "labels.txt").rename(model / "malware.txt")


def linked(model):
    (model / "sub-x").unlink()
    (model / "sub-x").symlink_to("labels.txt")


def linked_folder(model):
    (model / "more").symlink_to("sub")


@pytest.mark.parametrize("harm", [changed, added, hidden, removed, renamed, linked, linked_folder])
def test_a_model_that_is_not_what_was_signed_is_refused(model, tmp_path, harm):
    _, private, public = a_key(tmp_path)
    signature = signed(model, private)
    assert verified(model, public, signature).files == len(FILES)
    harm(model)
    with pytest.raises(oms.SignatureRefused) as caught:
        verified(model, public, signature)
    assert caught.value.exit_code == 8


def test_another_key_is_refused_and_nobody_elses_word_counts(model, tmp_path):
    _, private, _ = a_key(tmp_path)
    _, _, other = a_key(tmp_path, "other")
    with pytest.raises(oms.SignatureRefused, match="None of the given keys"):
        verified(model, other, signed(model, private))


def rewritten(bundle, change):
    value = json.loads(bundle)
    change(value)
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b["dsseEnvelope"]["signatures"].clear(),
        lambda b: b["dsseEnvelope"]["signatures"].append(b["dsseEnvelope"]["signatures"][0]),
        lambda b: b["dsseEnvelope"].update(payloadType="text/plain"),
        lambda b: b.update(mediaType="application/vnd.dev.sigstore.bundle.v0.1+json"),
        lambda b: b["dsseEnvelope"].update(payload="!!"),
        lambda b: b.pop("verificationMaterial"),
        lambda b: b["dsseEnvelope"].update(payload=b["dsseEnvelope"]["payload"][:-8]),
    ],
)
def test_a_bundle_that_was_touched_is_refused(model, tmp_path, change):
    _, private, public = a_key(tmp_path)
    signature = signed(model, private)
    signature.write_bytes(rewritten(signature.read_bytes(), change))
    with pytest.raises(oms.SignatureRefused):
        verified(model, public, signature)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"[" * 100_000, b"\xff"])
def test_what_is_no_bundle_is_refused(model, tmp_path, content):
    _, _, public = a_key(tmp_path)
    (tmp_path / "m.sig").write_bytes(content)
    with pytest.raises(oms.SignatureRefused):
        verified(model, public, tmp_path / "m.sig")


def test_a_key_of_another_kind_is_not_signed_with(model, tmp_path):
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(UsageError, match="not EC"):
        oms.sign(model, pem, None, name="digits")


def certificate(
    name, key, issuer, issuer_key, *, ca, until=NOW + 30 * DAY, email=None, purpose=None
):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 30 * DAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False,
                key_encipherment=False, data_encipherment=False, key_agreement=False,
                encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )  # fmt: skip
    if email:
        made = made.add_extension(
            x509.SubjectAlternativeName([x509.RFC822Name(email)]), critical=False
        )
        purposes = [purpose or ExtendedKeyUsageOID.CODE_SIGNING]
        made = made.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return made.sign(issuer_key, hashes.SHA256())


@pytest.fixture
def by_certificate(model, tmp_path):
    """Signs the model with model_signing and a certificate; gives the trust in whom it names."""

    def make(*, identity="team@example.com", **leaf_changes):
        root_key, _, _ = a_key(tmp_path, "root")
        leaf_key, _, _ = a_key(tmp_path, "leaf")
        root = certificate("root", root_key, None, root_key, ca=True)
        changes = {"email": "team@example.com"} | leaf_changes
        leaf = certificate("leaf", leaf_key, root.subject, root_key, ca=False, **changes)
        (tmp_path / "root.crt").write_bytes(root.public_bytes(Encoding.PEM))
        (tmp_path / "leaf.crt").write_bytes(leaf.public_bytes(Encoding.PEM))
        done = model_signing(
            "sign", "certificate", model, "--private_key", tmp_path / "leaf.pem",
            "--signing_certificate", tmp_path / "leaf.crt", "--certificate_chain", tmp_path / "root.crt",
            "--signature", tmp_path / "m.sig",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        authority = (tmp_path / "root.crt").read_bytes()
        return oms.ByIdentity(identity=identity, authority=authority, now=NOW)

    return make


def test_a_certificate_of_the_teams_own_authority_is_accepted_by_the_name_in_it(
    model, tmp_path, by_certificate
):
    trusted = by_certificate()
    bundle = (tmp_path / "m.sig").read_bytes()
    assert oms.verify(model, bundle, trusted, signature=tmp_path / "m.sig").by == "team@example.com"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"identity": "boss@example.com"}, "signed by team@example.com"),
        ({"until": NOW - DAY}, "not valid now"),
        ({"purpose": ExtendedKeyUsageOID.SERVER_AUTH}, "not for signing code"),
    ],
)
def test_a_certificate_that_does_not_fit_is_refused(
    model, tmp_path, by_certificate, changes, words
):
    if "purpose" in changes or "until" in changes:
        trusted = _resigned(model, tmp_path, by_certificate, changes)
    else:
        trusted = by_certificate(**changes)
    with pytest.raises(oms.SignatureRefused, match=words):
        oms.verify(model, (tmp_path / "m.sig").read_bytes(), trusted, signature=tmp_path / "m.sig")


def _resigned(model, tmp_path, by_certificate, changes):
    """model_signing refuses to sign with some of these; the chain is put into a good bundle."""
    import base64

    trusted = by_certificate()
    root_key = oms._private((tmp_path / "root.pem").read_bytes(), None)
    leaf_key = oms._private((tmp_path / "leaf.pem").read_bytes(), None)
    root = x509.load_pem_x509_certificate((tmp_path / "root.crt").read_bytes())
    leaf = certificate(
        "leaf",
        leaf_key,
        root.subject,
        root_key,
        ca=False,
        **({"email": "team@example.com"} | changes),
    )
    raw = base64.b64encode(leaf.public_bytes(Encoding.DER)).decode()

    def swap(bundle):
        bundle["verificationMaterial"]["x509CertificateChain"]["certificates"] = [{"rawBytes": raw}]

    signature = tmp_path / "m.sig"
    signature.write_bytes(rewritten(signature.read_bytes(), swap))
    return trusted


def test_another_authority_is_not_believed(model, tmp_path, by_certificate):
    trusted = by_certificate()
    key, _, _ = a_key(tmp_path, "stranger")
    stranger = certificate("root", key, None, key, ca=True).public_bytes(Encoding.PEM)
    foreign = oms.ByIdentity(identity=trusted.identity, authority=stranger, now=NOW)
    with pytest.raises(oms.SignatureRefused, match="does not end at the given authority"):
        oms.verify(model, (tmp_path / "m.sig").read_bytes(), foreign, signature=tmp_path / "m.sig")


def test_a_keyless_signature_is_refused_with_the_way_out(model, tmp_path):
    key, private, _ = a_key(tmp_path)
    root = certificate("root", key, None, key, ca=True)
    signature = signed(model, private)
    signature.write_bytes(
        rewritten(
            signature.read_bytes(),
            lambda b: b.update(
                verificationMaterial={"certificate": {"rawBytes": "AA=="}, "tlogEntries": [{}]}
            ),
        )
    )
    trusted = oms.ByIdentity(
        identity="a@example.com", authority=root.public_bytes(Encoding.PEM), now=NOW
    )
    with pytest.raises(oms.SignatureRefused, match="cannot be verified offline") as caught:
        oms.verify(model, signature.read_bytes(), trusted, signature=signature)
    assert "model_signing verify sigstore" in caught.value.hint
