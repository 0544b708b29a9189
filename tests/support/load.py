"""Requests of the Open Inference Protocol, one after the other on several connections, and what came back."""

import itertools
import json
import threading
import time
from dataclasses import dataclass, field

import numpy as np
from support.runtime import UnixHttp

INPUT = np.linspace(-1.0, 1.0, 64 * 64, dtype=np.float32)


@dataclass
class Seen:
    """What all clients saw.

    Args:
        answered: (seconds of the monotonic clock, version that answered) of each good answer.
        failed: what went wrong, a sentence each.
    """

    answered: list = field(default_factory=list)
    failed: list = field(default_factory=list)

    @property
    def versions(self):
        return [version for _, version in sorted(self.answered)]

    @property
    def longest_gap_s(self):
        times = sorted(at for at, _ in self.answered)
        return max(b - a for a, b in itertools.pairwise(times))


class Load:
    """Clients that ask until they are told to stop. Use as a context manager; it gives what they see."""

    def __init__(self, socket_path, model="digits", clients=3):
        self._path = str(socket_path).removesuffix(".sock") + ".http.sock"
        header = {
            "inputs": [
                {
                    "name": "image",
                    "datatype": "FP32",
                    "shape": [1, 1, 64, 64],
                    "parameters": {"binary_data_size": INPUT.nbytes},
                }
            ]
        }
        text = json.dumps(header).encode()
        self._body = text + INPUT.tobytes()
        self._headers = {"Inference-Header-Content-Length": str(len(text))}
        self._url = f"/v2/models/{model}/infer"
        self._stop = threading.Event()
        self._seen = Seen()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self._seen

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self):
        client = UnixHttp(self._path)
        while not self._stop.is_set():
            try:
                status, _, body = client.post(self._url, self._body, self._headers)
                said = json.loads(body)
                if status == 200:
                    self._seen.answered.append((time.monotonic(), said["model_version"]))
                else:
                    self._seen.failed.append(f"{status}: {said}")
            except (OSError, ValueError) as exc:
                self._seen.failed.append(f"{type(exc).__name__}: {exc}")
                client.close()
                time.sleep(0.01)
            time.sleep(0.002)
        client.close()
