"""The HTTP server with hand-written clients: protocol, metrics, health, pushed frames, malformed input."""

import http.client as http_client
import json
import socket
import time

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.runtime import MODEL, SCENES, a_pipeline_file, goldens, running, some_stages

CASE = next(c for c in goldens().cases if c.level == "tensor")
INPUT = (MODEL / CASE.inputs[0].path).read_bytes()
REFERENCE = np.frombuffer((MODEL / CASE.fp32[0].path).read_bytes(), "<f4")
URL = "/v2/models/digits/infer"


def json_request(**changes):
    tensor = {
        "name": "image",
        "datatype": "FP32",
        "shape": [1, 1, 64, 64],
        "data": np.frombuffer(INPUT, "<f4").tolist(),
    }
    return json.dumps({"id": "7", "inputs": [tensor | changes]}).encode()


def binary_request(body=INPUT, **changes):
    tensor = {
        "name": "image",
        "datatype": "FP32",
        "shape": [1, 1, 64, 64],
        "parameters": {"binary_data_size": len(body)},
    }
    document = {"inputs": [tensor | changes], "parameters": {"binary_data_output": True}}
    header = json.dumps(document).encode()
    return header + body, {"Inference-Header-Content-Length": str(len(header))}


def test_health_and_metadata_are_those_of_the_protocol(shared):
    http = shared.http()
    assert http.get("/v2/health/live") == (200, b'{"live": true}')
    assert http.get("/v2/health/ready") == (200, b'{"live": true, "ready": true}')
    assert http.get("/v2/models/digits/ready") == (200, b'{"name": "digits", "ready": true}')
    server = json.loads(http.get("/v2")[1])
    assert server["extensions"] == ["binary_tensor_data", "statistics"]
    model = json.loads(http.get("/v2/models/digits/versions/1.0.0")[1])
    assert model["platform"] == "onnx_onnxv1"
    assert model["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [1, 1, 64, 64]}]
    assert model["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [1, 10]}]
    assert json.loads(http.get("/v2/models/gate")[1])["name"] == "gate"


def test_json_inference_answers_with_the_reference(shared):
    status, _, body = shared.http().post(URL, json_request())
    answer = json.loads(body)
    assert status == 200, answer
    assert answer["id"] == "7"
    assert (answer["model_name"], answer["model_version"]) == ("digits", "1.0.0")
    output = answer["outputs"][0]
    assert (output["name"], output["datatype"], output["shape"]) == ("logits", "FP32", [1, 10])
    assert np.allclose(output["data"], REFERENCE, atol=1e-3)


def test_nested_json_data_is_the_same_as_flat(shared):
    nested = np.frombuffer(INPUT, "<f4").reshape(1, 1, 64, 64).tolist()
    flat = shared.http().post(URL, json_request())[2]
    assert shared.http().post(URL, json_request(data=nested))[2] == flat


def test_binary_inference_answers_with_raw_tensors(shared):
    body, headers = binary_request()
    status, got, answer = shared.http().post(URL, body, headers)
    assert status == 200, answer
    length = int(got["Inference-Header-Content-Length"])
    assert got["Content-Type"] == "application/octet-stream"
    header = json.loads(answer[:length])
    assert header["outputs"][0]["parameters"] == {"binary_data_size": 40}
    assert np.allclose(np.frombuffer(answer[length:], "<f4"), REFERENCE, atol=1e-3)


def test_a_binary_input_may_be_answered_as_json(shared):
    body, headers = binary_request()
    length = int(headers["Inference-Header-Content-Length"])
    document = json.loads(body[:length])
    document["outputs"] = [{"name": "logits", "parameters": {"binary_data": False}}]
    header = json.dumps(document).encode()
    headers = {"Inference-Header-Content-Length": str(len(header))}
    _, got, answer = shared.http().post(URL, header + INPUT, headers)
    assert "Inference-Header-Content-Length" not in got
    assert np.allclose(json.loads(answer)["outputs"][0]["data"], REFERENCE, atol=1e-3)


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"", {}, 400, "not JSON"),
        (b"{", {}, 400, "not JSON"),
        (b"[]", {}, 400, "not an object"),
        (b"{}", {}, 400, "inputs is missing"),
        (b"[" * 100_000, {}, 400, "not JSON"),
        (json_request(name="other"), {}, 422, "no input 'other'"),
        (json_request(datatype="FP33"), {}, 400, "none of BOOL"),
        (json_request(datatype="INT8"), {}, 400, "does not fit"),
        (json_request(shape=[1, 1, 64]), {}, 400, "4096 elements"),
        (json_request(shape=[-1]), {}, 400, "no extent"),
        (json_request(data=[[1.0], [1.0, 2.0]]), {}, 400, "ragged"),
        (json_request(data=["a"] * 4096), {}, 400, "does not fit"),
        (json_request(shape=[1, 3, 224, 224]), {}, 413, "binary tensor extension"),
        (b'{"inputs": [' + b" " * 1_100_000 + b"]}", {}, 413, "binary tensor extension"),
        (*binary_request(shape=[1, 1, 64, 63]), 400, "binary_data_size is 16384, not 16128"),
        (*binary_request(body=INPUT + b"x"), 400, "not 16384"),
        (binary_request()[0], {"Inference-Header-Content-Length": "99999999"}, 400, "larger"),
        (binary_request()[0], {"Inference-Header-Content-Length": "-1"}, 400, "no number"),
        (b"x", {"Content-Encoding": "gzip"}, 415, "compressed"),
    ],
)
def test_a_wrong_inference_request_is_refused_with_a_sentence(shared, body, headers, status, words):
    got, _, answer = shared.http().post(URL, body, headers)
    assert got == status, answer
    assert words in json.loads(answer)["error"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/v2/models", 404),
        ("/v2/models/other", 404),
        ("/v2/models/digits/versions/9", 404),
        ("/v2/models/digits/config", 404),
        ("/v2/models/digits/infer", 405),
        ("/v1/frames", 405),
        ("/%2e%2e/etc/passwd", 404),
        ("/v2/health/ready?verbose=1", 200),
    ],
)
def test_other_paths_and_methods_are_refused(shared, path, status):
    assert shared.http().get(path)[0] == status


def exchange(daemon, sent):
    """Whatever the server answers to these bytes until it closes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        sock.connect(daemon.socket_path.removesuffix(".sock") + ".http.sock")
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        try:
            return b"".join(iter(lambda: sock.recv(65536), b""))
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET /healthz\r\n\r\n", 400),
        (b"GET /healthz HTTP/2.0\r\n\r\n", 505),
        (b"GET healthz HTTP/1.1\r\n\r\n", 400),
        (b"G@T /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nNo Colon\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nBad Name: 1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n folded: 1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * 65 + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\na: " + b"b" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\na: " + b"b" * 600_000, 431),
        (b"POST /v2/models/digits/infer HTTP/1.1\r\n\r\n", 411),
        (b"POST /v1/frames HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", 411),
        (b"POST /v1/frames HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /v1/frames HTTP/1.1\r\nContent-Length: +5\r\n\r\nabcde", 400),
        (b"POST /v1/frames HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST /v1/frames HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /healthz HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde", 413),
    ],
)
def test_malformed_requests_are_answered_and_closed(shared, sent, status):
    answer = exchange(shared, sent)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"Connection: close" in answer
    assert shared.http().get("/healthz")[0] == 200


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01"])
def test_half_a_request_does_no_harm(shared, sent):
    assert exchange(shared, sent) == b""
    assert shared.http().get("/healthz")[0] == 200


def test_random_bytes_do_no_harm(shared):
    rng = np.random.default_rng(3)
    for _ in range(50):
        exchange(shared, rng.bytes(int(rng.integers(1, 400))) + b"\r\n\r\n")
    assert shared.http().get("/healthz")[0] == 200


def test_requests_may_follow_each_other_on_one_connection(shared):
    one = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert exchange(shared, one * 3 + last).count(b'{"live": true}') == 4


def test_a_client_that_waits_for_100_continue_gets_it(shared):
    body, headers = binary_request()
    head = f"POST {URL} HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "Connection: close\r\n\r\n"
    answer = exchange(shared, head.encode() + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


def test_bodies_that_never_come_whole_use_nothing_up(daemon):
    """Found by fuzzing: each left its announced bytes counted as in flight, until nothing was taken any more."""
    path = daemon.socket_path.removesuffix(".sock") + ".http.sock"
    for _ in range(4):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(path)
            sock.sendall(f"POST {URL} HTTP/1.1\r\nContent-Length: {16 * 2**20}\r\n\r\n{{".encode())
            time.sleep(0.2)
    body, headers = binary_request()
    assert daemon.http().post(URL, body, headers)[0] == 200


def test_metrics_are_understood_by_prometheus_and_count_what_happened(daemon):
    http = daemon.http()
    http.post(URL, json_request())
    http.post(URL, b"{")
    http.post("/v1/frames", (SCENES / "scene-00-digit-8.png").read_bytes())
    http.post("/v1/frames", b"broken")
    daemon.wait_for(lambda s: s["frames"]["inferred"] == 1 and s["frames"]["failed"] == 1)
    status, text = http.get("/metrics")
    assert status == 200
    families = {f.name: f for f in text_string_to_metric_families(text.decode())}
    requests = {
        (s.labels["source"], s.labels["outcome"]): s.value
        for s in families["edgeform_infer_requests"].samples
    }
    assert requests == {("http", "ok"): 1, ("http", "failed"): 1, ("capture", "ok"): 1}
    failed = families["edgeform_frames_failed"].samples
    assert [(s.labels["reason"], s.value) for s in failed] == [("unsupported", 1)]
    buckets = [
        s
        for s in families["edgeform_stage_seconds"].samples
        if s.name.endswith("_bucket") and s.labels["stage"] == "preprocess"
    ]
    assert [s.labels["le"] for s in buckets][-1] == "+Inf"
    assert buckets[-1].value == 1
    counts = [s.value for s in buckets]
    assert counts == sorted(counts)
    variant = families["edgeform_variant_info"].samples[0]
    assert variant.labels["provider"] == "CPUExecutionProvider"
    assert families["edgeform_resident_memory_bytes"].samples[0].value > 20_000_000
    assert all(s.labels["pipeline"] == "gate" for f in families.values() for s in f.samples)


def test_statistics_count_requests_and_where_their_time_went(daemon):
    http = daemon.http()
    for _ in range(3):
        assert http.post(URL, json_request())[0] == 200
    assert http.post(URL, b"{")[0] == 400
    (stat,) = json.loads(http.get("/v2/models/digits/versions/1.0.0/stats")[1])["model_stats"]
    assert (stat["name"], stat["version"]) == ("digits", "1.0.0")
    assert (stat["inference_count"], stat["execution_count"]) == (3, 3)
    assert abs(stat["last_inference"] / 1000 - time.time()) < 60
    parts = stat["inference_stats"]
    assert {name: part["count"] for name, part in parts.items()} == {
        **dict.fromkeys(
            ("success", "queue", "compute_input", "compute_infer", "compute_output"), 3
        ),
        "fail": 1,
        "cache_hit": 0,
        "cache_miss": 0,
    }
    spent = sum(
        parts[p]["ns"] for p in ("queue", "compute_input", "compute_infer", "compute_output")
    )
    assert spent == parts["success"]["ns"] > 0
    assert [b["batch_size"] for b in stat["batch_stats"]] == [1]
    assert json.loads(http.get("/v2/models/stats")[1])["model_stats"] == [stat]


def a_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_server_with_a_token_answers_nobody_without_it_and_the_unix_socket_as_before(prefix):
    prefix.put_model()
    (prefix.path / "secrets").mkdir()
    (prefix.path / "secrets" / "oip").write_bytes(b"a-token-of-the-plant\n")
    port = a_port()
    stages = some_stages(serving={"address": "0.0.0.0", "port": port, "token": "oip"})
    path = prefix.put_pipeline(a_pipeline_file(stages=stages, secrets=("oip",)))
    with running(prefix, path) as daemon:
        http = http_client.HTTPConnection("127.0.0.1", port, timeout=10)
        said = []
        for value in (
            None,
            "Bearer wrong-token-of-it",
            "Basic a-token-of-the-plant",
            "Bearer \xe9",
        ):
            for target in (URL, "/metrics", "/healthz"):
                headers = {} if value is None else {"Authorization": value}
                http.request("POST" if target == URL else "GET", target, b"", headers)
                answer = http.getresponse()
                body = answer.read()
                said.append((answer.status, answer.getheader("WWW-Authenticate")))
                http.close()
        assert set(said) == {(401, "Bearer")}
        assert b"asks for a token" in body
        http.request("GET", "/metrics", headers={"Authorization": "Bearer a-token-of-the-plant"})
        assert http.getresponse().status == 200
        http.close()
        assert daemon.http().get("/healthz")[0] == 200


@pytest.mark.parametrize(
    ("serving", "secret", "words"),
    [
        ({"address": "0.0.0.0", "port": 1}, None, "is open to others and has no token"),
        ({"address": "::", "port": 1}, None, "is open to others and has no token"),
        ({"address": "0.0.0.0", "port": 1, "token": "oip"}, b"short", "has less than 16 bytes"),
    ],
)
def test_a_server_that_others_reach_does_not_start_without_a_token(prefix, serving, secret, words):
    prefix.put_model()
    (prefix.path / "secrets").mkdir()
    if secret is not None:
        (prefix.path / "secrets" / "oip").write_bytes(secret)
    names = () if secret is None else ("oip",)
    stages = some_stages(serving=serving)
    path = prefix.put_pipeline(a_pipeline_file(stages=stages, secrets=names))
    with running(prefix, path, wait=False) as daemon:
        assert daemon.process.wait(30) == 3
    assert words in daemon.log()[-1]["detail"]


def test_a_tcp_port_serves_the_same_on_loopback(prefix):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    prefix.put_model()
    stages = some_stages(serving={"address": "127.0.0.1", "port": port})
    path = prefix.put_pipeline(a_pipeline_file(stages=stages))
    with running(prefix, path), socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_a_port_that_is_taken_is_said_and_not_served_around(prefix):
    prefix.put_model()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        stages = some_stages(serving={"address": "127.0.0.1", "port": taken.getsockname()[1]})
        path = prefix.put_pipeline(a_pipeline_file(stages=stages))
        with running(prefix, path, wait=False) as daemon:
            assert daemon.process.wait(30) == 3
    said = daemon.log()[-1]["detail"]
    assert said.startswith("cannot serve at 127.0.0.1:"), said
    assert said.endswith("another program on this device listens there already"), said


def test_frames_that_are_too_large_are_refused_before_they_are_read(prefix):
    prefix.put_model()
    stages = some_stages(capture={"kind": "http_push", "max_bytes": 1000})
    with running(prefix, prefix.put_pipeline(a_pipeline_file(stages=stages))) as daemon:
        head = b"POST /v1/frames HTTP/1.1\r\nContent-Length: 1001\r\n\r\n"
        answer = exchange(daemon, head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"more than 1000" in answer


def test_sixty_five_connections_are_one_too_many_and_the_rest_is_served(shared):
    path = shared.socket_path.removesuffix(".sock") + ".http.sock"
    opened = []
    try:
        for _ in range(70):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(10)
            sock.connect(path)
            opened.append(sock)
        opened[0].sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert opened[0].recv(100).startswith(b"HTTP/1.1 200")
        assert opened[-1].recv(100).startswith(b"HTTP/1.1 503")
    finally:
        for sock in opened:
            sock.close()
