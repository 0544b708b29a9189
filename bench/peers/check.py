"""What a careful play would run on the device: wait until the service answers, then compare its answers.

Eight tensor goldens over HTTP, standard library only. Exit 1 when it is not ready in time or wrong.
"""

import array
import json
import pathlib
import sys
import time
import urllib.error
import urllib.request

SERVER = "http://127.0.0.1:8080/v2"
GOLDEN = pathlib.Path("/opt/peer/golden")
READY_S = 120.0
TOLERANCE = 1e-3


def asked(path: str, body: bytes | None = None) -> dict:
    with urllib.request.urlopen(f"{SERVER}{path}", body, timeout=30) as answer:  # noqa: S310 - SERVER is http
        return json.load(answer)


def wait_until_ready() -> None:
    until = time.monotonic() + READY_S
    while True:
        try:
            asked("/health/ready")
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > until:
                sys.exit("not ready")
            time.sleep(0.05)


def floats(name: str) -> list[float]:
    found = array.array("f")
    found.frombytes((GOLDEN / name).read_bytes())
    return found.tolist()


wait_until_ready()
for case in range(8):
    tensor = {"name": "image", "shape": [1, 1, 64, 64], "datatype": "FP32"}
    tensor["data"] = floats(f"tensor-{case:02}.in.bin")
    told = asked("/models/digits/infer", json.dumps({"inputs": [tensor]}).encode())
    expected = floats(f"tensor-{case:02}.variant.bin")
    gap = max(abs(a - b) for a, b in zip(told["outputs"][0]["data"], expected, strict=True))
    if gap > TOLERANCE:
        sys.exit(f"case {case}: off by {gap}")
