"""How often this pipeline was found stuck, over all its processes: each of them ends when that is seen.

A native call that does not return cannot be cancelled; only a new process helps, and whoever keeps the
service starts one. What it was is kept in the one folder that the service may write.
"""

import json
import os
from typing import Dict

FILE = ".stuck.json"
INFERENCE, CAPTURE = "inference", "capture"


def counts(prefix: str, pipeline: str) -> Dict[str, int]:
    """By what was stuck; a file that cannot be read counts nothing."""
    try:
        with open(_path(prefix, pipeline), encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        found = {}
    known = found if isinstance(found, dict) else {}
    return {
        what: known[what] if type(known.get(what)) is int else 0 for what in (INFERENCE, CAPTURE)
    }


def note(prefix: str, pipeline: str, what: str) -> None:
    """Count one more; a disk that does not take it costs the count and nothing else."""
    found = counts(prefix, pipeline)
    found[what] += 1
    path = _path(prefix, pipeline)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".tmp", "w", encoding="utf-8") as stream:
            json.dump(found, stream)
        os.replace(path + ".tmp", path)
    except OSError:
        return


def _path(prefix: str, pipeline: str) -> str:
    return os.path.join(prefix, "results", pipeline, FILE)
