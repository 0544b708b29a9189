"""Malformed requests against the real server: made from well-formed ones and a seed, sent raw, answers judged.

Whatever comes in, the server answers with a well-formed error or closes, keeps serving, and never says 500:
that would be a mistake of ours that the request found.
"""

import json
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z ]+\r\n")
SILENT_S = 0.25
"""Long enough for an answer on this machine; a request without its end is waited for by the server, too."""
NUMBERS = (b"-1", b"0", b"1e9", b"99999999999999999999", b"0x10", b"NaN", b"", b"+5", b" 7")
VALUES = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    1e308,
    "",
    "x" * 300,
    "\u0000",
    [],
    [[]],
    {},
    [None],
    "1",
)


@dataclass
class Found:
    """What a run did: requests by kind of answer, and those that the server must not have answered so."""

    seed: int
    requests: int = 0
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, bytes]] = field(default_factory=list)


def seeds(tensor: bytes) -> tuple[bytes, ...]:
    """Well-formed requests of every kind that the server takes."""
    described = {"name": "image", "datatype": "FP32", "shape": [1, 1, 64, 64]}
    head = json.dumps(
        {
            "id": "1",
            "inputs": [{**described, "parameters": {"binary_data_size": len(tensor)}}],
            "outputs": [{"name": "logits", "parameters": {"binary_data": True}}],
        }
    ).encode()
    small = json.dumps({"inputs": [{**described, "data": [0.5] * 64}]}).encode()
    return (
        request("POST", "/v2/models/digits/infer", small),
        request(
            "POST",
            "/v2/models/digits/infer",
            head + tensor,
            {"Inference-Header-Content-Length": str(len(head))},
        ),
        request("POST", "/v1/frames", b"P6\n2 2\n255\n" + b"\x7f" * 12, {"X-Frame-Name": "a"}),
        request("GET", "/v2/models/digits/versions/1.0.0/stats"),
        request("GET", "/metrics"),
        request("GET", "/v2/health/ready"),
    )


def request(
    method: str, path: str, body: bytes = b"", extra: dict[str, str] | None = None
) -> bytes:
    headers = {"Host": "x", **(extra or {})}
    if method == "POST":
        headers["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def mutated(chance: random.Random, whole: bytes) -> bytes:
    """A request that is no longer well-formed, mostly."""
    head, _, body = whole.partition(b"\r\n\r\n")
    for _ in range(chance.choice((1, 1, 2, 4))):
        match chance.randrange(9):
            case 0 if body.startswith(b"{"):
                body = _json_changed(chance, body)
                head = _length_fixed(head, len(body))
            case 1:
                head = re.sub(rb"(Length: )\d+", rb"\g<1>" + chance.choice(NUMBERS), head, count=1)
            case 2 | 3:
                head = _bytes_changed(chance, head)
            case 4 if body:
                body = _bytes_changed(chance, body)
                head = _length_fixed(head, len(body))
            case 5:
                lines = head.split(b"\r\n")
                lines.insert(chance.randrange(1, len(lines) + 1), chance.choice(lines))
                head = b"\r\n".join(lines)
            case 6:
                name = chance.choice((b"Transfer-Encoding: chunked", b"Content-Encoding: gzip"))
                head += b"\r\n" + chance.choice(
                    (name, b"X: " + b"y" * 20_000, b"Expect: 100-continue")
                )
            case 7:
                head = head.replace(
                    b"digits", chance.choice((b"..", b"%00", b"%ff", b"a" * 300)), 1
                )
            case _:
                cut = chance.randrange(len(head) + len(body) + 4)
                return (head + b"\r\n\r\n" + body)[:cut]
    return head + b"\r\n\r\n" + body


def _json_changed(chance: random.Random, body: bytes) -> bytes:
    try:
        document = json.loads(body)
    except ValueError:
        return _bytes_changed(chance, body)
    places = list(_places(document))
    if not places:
        return _bytes_changed(chance, body)
    holder, key = chance.choice(places)
    if chance.random() < 0.2 and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = chance.choice(VALUES)
    return json.dumps(document).encode()


def _places(value: object) -> Iterator[tuple[dict[str, object] | list[object], object]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]  # only those two get here
    for key, inner in list(pairs):
        yield value, key  # type: ignore[misc]  # as above
        if isinstance(inner, (dict, list)):
            yield from list(_places(inner))[:40]


def _bytes_changed(chance: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    place = chance.randrange(len(changed) + 1) if changed else 0
    match chance.randrange(3):
        case 0 if changed:
            changed[place % len(changed)] = chance.getrandbits(8)
        case 1:
            changed[place:place] = bytes(
                chance.getrandbits(8) for _ in range(chance.randrange(1, 9))
            )
        case _:
            del changed[place : place + chance.randrange(1, 9)]
    return bytes(changed)


def _length_fixed(head: bytes, length: int) -> bytes:
    return re.sub(rb"\nContent-Length: \d+", b"\nContent-Length: %d" % length, head, count=1)


def exchange(path: str, sent: bytes) -> bytes:
    """What the server answers before it falls silent or closes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(10.0)
        sock.connect(path)
        parts = []
        try:
            sock.sendall(sent)
            sock.settimeout(SILENT_S)
            sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(65536):
                parts.append(part)
        except OSError:
            return b"".join(parts)
        return b"".join(parts)


def verdict(answer: bytes) -> tuple[str, bool]:
    """(kind of answer, whether the server may answer so)."""
    if not answer:
        return "closed or waiting", True
    found = STATUS.match(answer)
    if found is None:
        return "not HTTP", False
    status = int(found[1])
    if status == 100:
        return "100", True
    _, _, body = answer.partition(b"\r\n\r\n")
    is_said = status < 400 or b'"error"' in body or status == 503
    return str(status), status != 500 and is_said


def fuzz(path: str, tensor: bytes, *, seed: int, seconds: float) -> Found:
    """Send changed requests for so long."""
    chance = random.Random(seed)
    found = Found(seed=seed)
    wholes = seeds(tensor)
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        sent = mutated(chance, chance.choice(wholes))
        answer = exchange(path, sent)
        kind, is_allowed = verdict(answer)
        found.requests += 1
        found.answers[kind] += 1
        if not is_allowed:
            found.wrong.append((kind, sent))
        if found.requests % 50 == 0:
            kind, _ = verdict(exchange(path, wholes[1]))
            if kind != "200":
                found.wrong.append((f"a right request got {kind}", sent))
                return found
    found.seconds = time.monotonic() - began
    return found
