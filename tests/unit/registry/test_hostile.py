"""A registry on the network is believed in nothing: what it sends wrongly is said, and nothing of it is kept."""

import json
import os
import ssl
import subprocess
from itertools import repeat

import pytest
from support.modelserver import Answer, a_server, ranged
from support.registry_kinds import FILES, LOGIN, SECRETS, digest, publish, redirect, secret

from edgeform.domain.artifacts import VersionRule
from edgeform.domain.registries import HttpRef, HuggingFaceRef, MlflowRef, OciRef, TokenLogin
from edgeform.domain.site import SecretRef
from edgeform.errors import Corrupt, NotTrusted, UsageError
from edgeform.registry import web
from edgeform.registry.base import RegistryFailed, SourceRefused, VersionNotFound, fetch
from edgeform.registry.index import HttpIndex
from edgeform.registry.open import opened
from edgeform.registry.remote import RemoteRegistry
from edgeform.registry.spool import Spool
from edgeform.registry.web import Web

MODEL = "/edge/digits/1.0.0/model.onnx"
INDEX = "/edge/digits/index.json"


@pytest.fixture
def server():
    with a_server() as served:
        publish(served, "digits", {"1.0.0": FILES}, {})
        yield served


def a_registry(server, folder, **changed):
    patience = {"answer_s": 2.0, "silence_s": 1.0, "patience_s": 0.5, "wait": lambda _: None}
    client = Web(f"{server.url}/edge", **(patience | changed))
    return RemoteRegistry("web", HttpIndex(client), Spool(folder / "downloads"))


def pulled(server, folder, **changed):
    registry = a_registry(server, folder, **changed)
    return fetch(registry, registry.resolve("digits", VersionRule.EXACT, "1.0.0"), folder / "out")


def kept(folder):
    """Whole objects in the spool: nothing that is wrong may be among them."""
    objects = folder / "downloads" / "objects"
    return {p.read_bytes() for p in objects.iterdir()} if objects.exists() else set()


def always(answer):
    return lambda request: answer


@pytest.mark.parametrize(
    ("status", "words", "hint"),
    [
        (401, "wants a login", "login"),
        (403, "may not read", ""),
        (404, "has no model", ""),
        (418, "answers 418", ""),
        (429, "Too many requests", "Wait"),
        (500, "answers 500", "later"),
        (503, "answers 503", "later"),
    ],
)
def test_each_refusal_is_said_with_what_to_do(server, tmp_path, status, words, hint):
    server.routes[INDEX] = always(Answer(b'{"message": "go away"}', status))
    with pytest.raises((RegistryFailed, VersionNotFound), match=words) as caught:
        pulled(server, tmp_path)
    assert hint in caught.value.hint
    assert "127.0.0.1" in caught.value.address
    assert caught.value.exit_code == (3 if status == 404 else 13)
    assert not (tmp_path / "out").exists()


def test_a_busy_server_is_asked_again_after_the_time_that_it_says(server, tmp_path):
    waits = []
    answers = iter([Answer(status=429, headers={"Retry-After": "7"}), Answer(status=503)])
    index = server.files[INDEX]
    server.routes[INDEX] = lambda request: next(answers, Answer(index))
    pulled(server, tmp_path, wait=waits.append)
    assert waits == [7.0, 1.0]


def test_whoever_asks_to_wait_for_an_hour_is_not_waited_for(server, tmp_path):
    server.routes[INDEX] = always(Answer(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(RegistryFailed, match="Too many"):
        pulled(server, tmp_path, wait=lambda s: pytest.fail(f"waited {s} s"))


def test_another_valid_artifact_under_the_name_is_refused_and_not_kept(server, tmp_path):
    other = b"\x08\x07" * 998 + b"!!"
    assert len(other) == len(FILES["model.onnx"])
    server.files[MODEL] = other
    with pytest.raises(Corrupt, match="its bytes are sha256") as caught:
        pulled(server, tmp_path)
    assert caught.value.exit_code == 12
    assert other not in kept(tmp_path)
    assert not (tmp_path / "out").exists()
    server.files[MODEL] = FILES["model.onnx"]
    assert (pulled(server, tmp_path) / "model.onnx").read_bytes() == FILES["model.onnx"]


def test_a_file_that_never_ends_is_left(server, tmp_path):
    server.routes[MODEL] = always(Answer(has_length=False, pieces=repeat(b"x" * 65536)))
    with pytest.raises(Corrupt, match="More bytes come"):
        pulled(server, tmp_path)
    assert sum(p.stat().st_size for p in (tmp_path / "downloads").rglob("*")) < 2**20


def test_a_document_that_never_ends_is_left(server, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "DOCUMENT_BYTES", 2**20)
    server.routes[INDEX] = always(Answer(has_length=False, pieces=repeat(b"[" * 65536)))
    with pytest.raises(RegistryFailed, match="does not end"):
        pulled(server, tmp_path)


def test_a_trickle_is_no_download(server, tmp_path):
    server.routes[MODEL] = lambda request: Answer(
        length=1998, pieces=iter([b"x"] * 1998), pause_s=0.05
    )
    with pytest.raises(RegistryFailed, match="trickles"):
        pulled(server, tmp_path)


def test_headers_that_trickle_are_given_up(tmp_path):
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def serve():
            listening.settimeout(10)
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            with peer:
                for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000:
                    if ended.wait(0.1):
                        return
                    try:
                        peer.send(bytes([byte]))
                    except OSError:
                        return

        threading.Thread(target=serve, daemon=True).start()
        client = Web(f"http://127.0.0.1:{listening.getsockname()[1]}", answer_s=1.0)
        with pytest.raises(RegistryFailed, match="No answer within 1 s"):
            client.document(client.under("index.json"))
        ended.set()


def test_nobody_there_is_said_in_a_sentence(tmp_path):
    client = Web("http://127.0.0.1:9", answer_s=5.0, wait=lambda _: None)
    with pytest.raises(RegistryFailed, match="cannot be reached") as caught:
        client.document(client.under("index.json"))
    assert caught.value.address == "http://127.0.0.1:9/index.json"


def test_a_download_that_broke_goes_on_where_it_stopped(server, tmp_path):
    content = FILES["model.onnx"]
    half = len(content) // 2
    answers = iter([Answer(content[:half], length=len(content), headers={"ETag": '"1"'})])

    def route(request):
        first = next(answers, None)
        return first if first is not None else ranged(request, content)

    server.routes[MODEL] = route
    folder = pulled(server, tmp_path)
    assert (folder / "model.onnx").read_bytes() == content
    asked = [r.headers.get("range") for r in server.seen if r.path == MODEL]
    assert asked == [None, f"bytes={half}-"]


def test_a_part_of_something_else_is_thrown_away_and_not_gone_on_with(server, tmp_path):
    registry = a_registry(server, tmp_path)
    resolved = registry.resolve("digits", VersionRule.EXACT, "1.0.0")
    server.routes[MODEL] = always(Answer(b"y" * 500, length=1998))
    with pytest.raises(RegistryFailed, match="broke after 500 bytes"):
        registry.open(resolved, "model.onnx")
    del server.routes[MODEL]
    with registry.open(resolved, "model.onnx") as stream:
        assert stream.read() == FILES["model.onnx"]


def test_a_damaged_object_in_the_spool_is_fetched_again(server, tmp_path):
    registry = a_registry(server, tmp_path)
    resolved = registry.resolve("digits", VersionRule.EXACT, "1.0.0")
    registry.open(resolved, "model.onnx").close()
    at = Spool(tmp_path / "downloads").path(digest(FILES["model.onnx"]))
    at.write_bytes(b"z" * 1998)
    with registry.open(resolved, "model.onnx") as stream:
        assert stream.read() == FILES["model.onnx"]


def test_an_lfs_pointer_is_no_model_even_if_the_index_says_its_digest(server, tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n"
    publish(server, "digits", {"1.0.0": {"model.onnx": pointer}}, {})
    with pytest.raises(SourceRefused, match="git-lfs"):
        pulled(server, tmp_path)
    assert kept(tmp_path) == set()


@pytest.mark.parametrize(
    "path",
    [
        "../model.onnx",
        "/etc/passwd",
        "a/../../b",
        "a\\b",
        "a b",
        "",
        "golden//x",
        "%2e%2e/x",
        "a\x1b[2Jb",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(server, tmp_path, path):
    publish(server, "digits", {"1.0.0": {path: b"x"}}, {})
    with pytest.raises(SourceRefused) as caught:
        pulled(server, tmp_path)
    assert "\x1b" not in caught.value.rendered()
    assert {p.name for p in tmp_path.iterdir()} <= {"downloads"}


@pytest.mark.parametrize(
    "document",
    [
        b"[]",
        b"{",
        b"<html>",
        b"[" * 100_000,
        b'{"schema": "edgeform.model-index/1"}',
        b'{"schema": "edgeform.model-index/2", "versions": {}}',
        b'{"schema": "edgeform.model-index/1", "versions": {"1.0.0": {}}}',
        b'{"schema": "edgeform.model-index/1", "versions": {"../x": {"files": []}}}',
        b'{"schema": "edgeform.model-index/1", "versions": {"1.0.0": {"files": [{"path": "a"}]}}}',
        b'{"schema": "edgeform.model-index/1", "versions": {"1.0.0": {"files": []}}}',
    ],
)
def test_an_index_that_is_none_is_said_to_be_none(server, tmp_path, document):
    server.files[INDEX] = document
    with pytest.raises((RegistryFailed, SourceRefused)) as caught:
        pulled(server, tmp_path)
    assert caught.value.address


def test_a_listed_file_that_is_not_there_is_said(server, tmp_path):
    del server.files[MODEL]
    with pytest.raises(RegistryFailed, match="lists this file and does not have it"):
        pulled(server, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_plain_file_is_named_by_its_digest(server, tmp_path):
    server.files["/edge/models/plain.onnx"] = b"plain"
    registry = opened(HttpRef(name="web", url=f"{server.url}/edge"), secret, tmp_path / "d")
    found = registry.resolve("models/plain.onnx", VersionRule.DIGEST, digest(b"plain"))
    assert found.version == digest(b"plain").replace(":", "-")
    assert [f.path for f in found.files] == ["plain.onnx"]
    assert registry.resolve("models/plain.onnx", VersionRule.EXACT, found.version) == found
    server.files["/edge/models/plain.onnx"] = b"other"
    with pytest.raises(Corrupt):
        opened(HttpRef(name="web", url=f"{server.url}/edge"), secret, tmp_path / "e").resolve(
            "models/plain.onnx", VersionRule.EXACT, found.version
        )


def with_login(server, tmp_path, **changed):
    ref = HttpRef(name="web", url=f"{server.url}/edge", login=LOGIN, **changed)
    return opened(ref, secret, tmp_path / "downloads")


def sent(server):
    return [r.headers.get("authorization") for r in server.seen]


def test_a_login_is_sent_to_the_registry_and_to_no_other_host(server, tmp_path):
    with a_server() as elsewhere:
        elsewhere.files["/blob"] = FILES["model.onnx"]
        server.routes[MODEL] = redirect(f"{elsewhere.url}/blob?X-Amz-Signature=abc")
        registry = with_login(server, tmp_path)
        resolved = registry.resolve("digits", VersionRule.EXACT, "1.0.0")
        registry.open(resolved, "model.onnx").close()
        assert all(sent(server))
        assert sent(elsewhere) == [None]


def test_netrc_and_cookies_are_left_alone(server, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.before = lambda r: (
        Answer(server.files[r.path], headers={"Set-Cookie": "a=b"}) if r.path == INDEX else None
    )
    pulled(server, tmp_path)
    assert sent(server) == [None] * len(server.seen)
    assert not any("cookie" in r.headers for r in server.seen)


def test_no_secret_and_no_query_stands_in_a_message(server, tmp_path):
    import base64

    pair = base64.b64encode(f"robot:{SECRETS['P']}".encode()).decode()
    said = json.dumps({"message": f"bad credentials: Basic {pair} \x1b[31m"}).encode()
    server.before = always(Answer(said, 401))
    with pytest.raises(RegistryFailed) as caught:
        with_login(server, tmp_path).resolve("digits", VersionRule.EXACT, "1.0.0")
    text = caught.value.rendered()
    assert "bad credentials" in text
    assert pair not in text
    assert SECRETS["P"] not in text
    assert "\x1b" not in text
    assert "env/P" in text


def test_a_login_never_crosses_a_network_in_the_clear(tmp_path):
    ref = HttpRef(name="web", url="http://models.invalid", login=LOGIN)
    with pytest.raises(NotTrusted, match="in the clear"):
        opened(ref, secret, tmp_path).resolve("digits", VersionRule.EXACT, "1.0.0")


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/"])
def test_redirects_lead_to_the_web_only(server, tmp_path, to):
    server.routes[MODEL] = redirect(to)
    with pytest.raises(RegistryFailed, match="not as safe"):
        pulled(server, tmp_path)


def test_redirects_that_go_round_end(server, tmp_path):
    server.routes[MODEL] = redirect(f"{server.url}{MODEL}")
    with pytest.raises(RegistryFailed, match="redirects more than"):
        pulled(server, tmp_path)


@pytest.fixture
def authority(tmp_path):
    """A certificate for 127.0.0.1 that no system trusts, and a server with it."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    return tls, cert


def test_a_private_authority_is_trusted_when_it_is_named_and_only_then(authority, tmp_path):
    tls, cert = authority
    with a_server(tls) as served:
        publish(served, "digits", {"1.0.0": FILES}, {})
        url = f"https://127.0.0.1:{served.port}/edge"
        named = HttpRef(name="web", url=url, ca_file=str(cert), login=LOGIN)
        assert opened(named, secret, tmp_path / "a").listing("digits").names() == ("1.0.0",)
        served.seen.clear()
        unknown = opened(HttpRef(name="web", url=url, login=LOGIN), secret, tmp_path / "b")
        with pytest.raises(RegistryFailed, match="certificate is not trusted") as caught:
            unknown.listing("digits")
        assert "ca_file" in caught.value.hint
        assert served.seen == []


def test_a_token_server_on_another_host_gets_no_login_unless_it_is_named(tmp_path):
    with a_server() as registry, a_server() as tokens:
        challenge = f'Bearer realm="{tokens.url}/token",service="registry"'

        def gate(request):
            if request.headers.get("authorization") == "Bearer t-1":
                return None
            return Answer(status=401, headers={"WWW-Authenticate": challenge})

        registry.before = gate
        tokens.files["/token"] = b'{"token": "t-1"}'
        registry.files["/v2/digits/tags/list"] = b'{"tags": ["1.0.0"]}'
        ref = OciRef(name="images", url=registry.url, login=LOGIN)
        with pytest.raises(RegistryFailed, match="another host") as caught:
            opened(ref, secret, tmp_path / "a").listing("digits")
        assert "token_url" in caught.value.hint
        assert tokens.seen == []
        named = OciRef(
            name="images", url=registry.url, login=LOGIN, token_url=f"{tokens.url}/token"
        )
        assert opened(named, secret, tmp_path / "b").listing("digits").names() == ("1.0.0",)
        assert sent(tokens)[0].startswith("Basic ")
        assert tokens.seen[0].query["scope"] == ["repository:digits:pull"]
        assert not any((r or "").startswith("Basic") for r in sent(registry))


def test_a_registry_that_gives_another_manifest_for_a_digest_is_corrupt(tmp_path):
    with a_server() as registry:
        registry.files["/v2/"] = b"{}"
        wanted = digest(b"one")
        registry.files[f"/v2/digits/manifests/{wanted}"] = b'{"layers": []}'
        ref = OciRef(name="images", url=registry.url)
        with pytest.raises(Corrupt):
            opened(ref, secret, tmp_path).resolve(
                "digits", VersionRule.EXACT, wanted.replace(":", "-")
            )


def test_a_container_image_is_no_model(tmp_path):
    with a_server() as registry:
        registry.files["/v2/"] = b"{}"
        layer = {
            "digest": digest(b"x"),
            "size": 1,
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        }
        registry.files["/v2/digits/manifests/1.0.0"] = json.dumps({"layers": [layer]}).encode()
        with pytest.raises(SourceRefused, match="no file name"):
            opened(OciRef(name="images", url=registry.url), secret, tmp_path).resolve(
                "digits", VersionRule.EXACT, "1.0.0"
            )


def test_mlflow_artifacts_on_the_servers_own_disk_are_refused_with_the_way_out(tmp_path):
    with a_server() as served:
        api = "/api/2.0/mlflow"
        served.files[f"{api}/model-versions/get"] = b'{"model_version": {"status": "READY"}}'
        served.files[f"{api}/model-versions/get-download-uri"] = (
            b'{"artifact_uri": "/srv/mlruns/1"}'
        )
        registry = opened(MlflowRef(name="team", url=served.url), secret, tmp_path)
        with pytest.raises(SourceRefused) as caught:
            registry.resolve("digits", VersionRule.EXACT, "1")
        assert "--serve-artifacts" in caught.value.hint


@pytest.mark.parametrize("path", ["../../x", "a;b", "..%2fx", "a%5cb"])
def test_mlflow_names_are_one_name_below_their_folder(tmp_path, path):
    """CVE-2023-2780, 2024-1560, 2024-1593: traversal by what the server lists."""
    with a_server() as served:
        api = "/api/2.0/mlflow"
        served.files[f"{api}/model-versions/get"] = b'{"model_version": {"status": "READY"}}'
        uri = b'{"artifact_uri": "mlflow-artifacts:/1/m"}'
        served.files[f"{api}/model-versions/get-download-uri"] = uri
        listed = {"files": [{"path": f"m/{path}", "is_dir": False, "file_size": 1}]}
        artifacts = "/api/2.0/mlflow-artifacts/artifacts"
        served.files[artifacts] = json.dumps(listed).encode()
        served.files[f"{artifacts}/1/m/x"] = b"x"
        registry = opened(MlflowRef(name="team", url=served.url), secret, tmp_path)
        if path == "../../x":
            # The last name alone counts, below the folder that was asked for.
            found = registry.resolve("digits", VersionRule.EXACT, "1")
            assert [f.path for f in found.files] == ["x"]
            assert served.seen[-1].path == f"{artifacts}/1/m/x"
        else:
            with pytest.raises(SourceRefused):
                registry.resolve("digits", VersionRule.EXACT, "1")


def test_a_hub_is_asked_by_commit_only(tmp_path):
    with a_server() as served:
        hub = opened(HuggingFaceRef(name="hub", url=served.url), secret, tmp_path)
        with pytest.raises(VersionNotFound, match="no commit"):
            hub.resolve("team/digits", VersionRule.EXACT, "main")
        commit = "a" * 40
        other = json.dumps({"sha": "b" * 40, "siblings": []}).encode()
        served.files[f"/api/models/team/digits/revision/{commit}"] = other
        with pytest.raises(RegistryFailed, match="another commit"):
            hub.resolve("team/digits", VersionRule.EXACT, commit)


def test_a_token_is_sent_as_bearer(server, tmp_path):
    login = TokenLogin(token=SecretRef(provider="env", path="P"))
    ref = HttpRef(name="web", url=f"{server.url}/edge", login=login)
    opened(ref, secret, tmp_path).listing("digits")
    assert sent(server) == [f"Bearer {SECRETS['P']}"]


def test_a_missing_extra_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    from edgeform.domain.registries import S3Ref

    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(UsageError) as caught:
        opened(S3Ref(name="b", bucket="models"), secret, tmp_path).listing("digits")
    assert 'pip install "edgeform[aws]"' in caught.value.hint


def test_a_full_disk_is_said_and_nothing_is_left_in_its_place(server, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Spool, "_read_once", full)
    with pytest.raises(RegistryFailed, match="No space left") as caught:
        pulled(server, tmp_path)
    assert "goes on where it stopped" in caught.value.hint
    assert not (tmp_path / "out").exists()
