"""Running a transaction that ends badly on a real device, and what must hold on that device afterwards."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import support.killed
from support.real_device import wait_for

NONCE = "nonce-of-a-killed-one"


def run_killed(real, step, when, what, deployment=None, under=()):
    """The harness of support.killed as a process; `under` is put before its command."""
    request = {}
    if deployment is not None:
        request = {
            "deployment": deployment.number,
            "generation": 0,
            "plan_digest": deployment.plan_digest,
            "road": "ssh",
            "who": "a test",
            "nonce": f"{NONCE}-{deployment.number}",
        }
    arguments = (real.tool[4], real.layout.prefix, step, when, what)
    script = str(Path(support.killed.__file__))
    return subprocess.run(
        (*under, sys.executable, script, *arguments),
        input=json.dumps(request).encode(),
        capture_output=True,
        timeout=120,
        check=False,
    )


def assert_sound(real):
    """current is committed, no transaction is left, and the runtime of that generation serves."""
    committed = real.state.committed()
    state = real.state
    assert not any((state.txn(), state.committing(), state.reverting()))
    assert real.device.disk.read_link(real.layout.current) == f"gen/{committed.generation}"
    wait_for(lambda: (real.serving() or {}).get("phase") == "ready", "the runtime to be ready")
    assert real.serving()["generation"] == committed.generation
    answer = real.ask("receipts", "--since", "0")
    receipts = [json.loads(line)["receipt"] for line in answer.said["receipts"]]
    assert [r["seq"] for r in receipts] == list(range(1, len(receipts) + 1))
    ids = [r["transaction"] for r in receipts]
    assert len(ids) == len(set(ids))


def ended(real, transaction):
    """How it ended; where no guard was armed yet, recovery is asked to look."""

    def look():
        found = real.ask("status", "--transaction", transaction, "--wait", "2").said
        if found["outcome"] is None and not guards(real):
            real.ask("recover")
        return found if found["outcome"] is not None and not guards(real) else None

    return wait_for(look, f"transaction {transaction} to end", 90)


def guards(real):
    return [p for p in real.processes() if b"guard" in _command_line(p)]


def _command_line(pid):
    """The process's own words; empty when it has ended since it was listed."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def transaction_of(real, deployment):
    """The id that the device gave to the order of this deployment."""
    proof = hashlib.sha256(f"{NONCE}-{deployment.number}".encode()).hexdigest()[:8]
    return f"t{real.state.fence()}-{proof}"
