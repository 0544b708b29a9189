"""The limit of `plan`: our own transport runs `python3 -c pass` once on each device, and nothing else.

    python bench/limit.py DEVICES.json

A process of its own, as `edgeform plan` is one: the worker's start is part of both.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgeform.domain.site import Connect
from edgeform.transport.base import Run, Target
from edgeform.transport.bymode import open_transport

SESSIONS = 64


def main() -> None:
    asked = json.loads(Path(sys.argv[1]).read_text())
    targets = [
        Target(name=name, connect=Connect(**connect), known_hosts=Path(asked["known_hosts"]))
        for name, connect in asked["devices"].items()
    ]
    command = Run(argv=("python3", "-c", "pass"))
    transport = open_transport()
    try:
        with ThreadPoolExecutor(min(SESSIONS, len(targets))) as pool:
            codes = [
                done.exit_code for done in pool.map(lambda t: transport.run(t, command), targets)
            ]
    finally:
        transport.close()
    sys.exit(any(codes))


if __name__ == "__main__":
    main()
