"""Whether this tool can do its work on this machine: asked before a new tool takes over, and by people.

Everything is done for real in a directory of its own below the prefix, and removed again.
"""

import importlib
import os
import pkgutil
import sys
from typing import Any, Callable, Dict, List, Tuple

from edgeform_device.durable import Disk
from edgeform_device.errors import Refused
from edgeform_device.layout import Layout
from edgeform_wire import digest as digests

FOLDER = "selftest"


def run(disk: Disk, layout: Layout) -> List[Dict[str, Any]]:
    """Every check with its verdict.

    Raises:
        Refused: names the checks that failed.
    """
    checks: Tuple[Tuple[str, Callable[[], str]], ...] = (
        ("python", _python),
        ("modules", _modules),
        ("disk", lambda: _disk(disk, layout)),
        ("signatures", _signatures),
    )
    found = []
    for name, check in checks:
        try:
            found.append({"name": name, "ok": True, "detail": check()})
        except Exception as exc:  # noqa: BLE001 - whatever a check fails with is its result
            detail = f"{type(exc).__name__}: {exc}"[:300]
            found.append({"name": name, "ok": False, "detail": detail})
    failed = [c for c in found if not c["ok"]]
    if failed:
        raise Refused(
            "This tool cannot do its work on this machine: "
            + ", ".join(str(c["name"]) for c in failed)
            + ".",
            detail="; ".join(f"{c['name']}: {c['detail']}" for c in failed),
        )
    return found


def _python() -> str:
    return ".".join(str(n) for n in sys.version_info[:3])


def _modules() -> str:
    """Every module can be read by this Python: none is found broken in the middle of a recovery."""
    count = 0
    for package in ("edgeform_wire", "edgeform_device"):
        top = importlib.import_module(package)
        for module in pkgutil.iter_modules(top.__path__, package + "."):
            if not module.name.endswith(("__main__", ".install")):
                importlib.import_module(module.name)
                count += 1
    return f"{count} modules"


def _disk(disk: Disk, layout: Layout) -> str:
    """Files, links, renames and syncs work below the prefix."""
    top = layout.under(FOLDER)
    disk.remove_tree(top)
    try:
        disk.mkdir(top)
        file, link, other = (os.path.join(top, n) for n in ("file", "link", "hard"))
        disk.write_file(file, b"edgeform")
        disk.write_file(file, b"edgeform again")
        disk.replace_link(link, "file")
        disk.replace_link(link, "hard")
        disk.link(file, other)
        if disk.read(link) != b"edgeform again":
            raise Refused("What was written does not come back.")
    finally:
        disk.remove_tree(top)
    return "files, links, renames and syncs work"


def _signatures() -> str:
    from edgeform_device import p256_openssl  # noqa: PLC0415 - only asked for here
    from edgeform_device.p256 import load_public_key, verify  # noqa: PLC0415

    key = load_public_key(p256_openssl._PROBE_PEM)  # noqa: SLF001 - one known signature for both
    message, signature = p256_openssl._PROBE_MESSAGE, p256_openssl._PROBE_SIGNATURE  # noqa: SLF001
    if not verify(key, signature, message) or verify(key, signature, message + b"."):
        raise Refused("Our own verifier is wrong about a known signature.")
    has_openssl = p256_openssl.find_openssl() is not None
    return f"ours works; openssl {'agrees' if has_openssl else 'is not here'}; " + digests.short(
        digests.of_bytes(message)
    )
