"""How an update stands, as far as the pipeline's user may see the device tool's state."""

import json
import os
from typing import Any, Dict


def update_status(prefix: str) -> Dict[str, Any]:
    """`{"state", "committed"}`: committed, in_progress, needs_hands, or unknown where nothing is said.

    The files are those of docs/reference/device-layout.md; this only looks whether they are there, and
    reads one number.
    """
    state = os.path.join(prefix, "state")
    try:
        with open(os.path.join(state, "committed"), encoding="utf-8") as stream:
            committed = json.load(stream).get("generation", 0)
    except FileNotFoundError:
        committed = 0
    except (OSError, ValueError, AttributeError):
        return {"state": "unknown", "committed": 0}
    if not os.access(state, os.X_OK):
        return {"state": "unknown", "committed": 0}
    for name, word in (("needs_hands", "needs_hands"), ("txn", "in_progress")):
        if os.path.exists(os.path.join(state, name)):
            return {"state": word, "committed": committed}
    return {"state": "committed" if committed else "unknown", "committed": committed}
