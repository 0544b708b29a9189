"""Puts the device tool on a device that has none: source for `python3 -c`, the .pyz on standard input.

Sent as it stands, so it imports nothing of ours and any Python 3 can parse it. Arguments: prefix, digest.
"""

import hashlib
import json
import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, List

MAX_BYTES = 64 * 1024 * 1024


def main(arguments: "List[str]", stream: "BinaryIO") -> "int":
    """Write `tool/<hex>.pyz` and `bin/edgeform-device`; 0, or the exit code of a printed refusal."""
    if sys.version_info < (3, 8):  # noqa: UP036 - this is where an old Python is told
        return _refuse(3, "python", "Python " + sys.version.split()[0] + " is older than 3.8.")
    prefix, digest = arguments
    hex_digest = digest.partition(":")[2]
    if not re.match(r"/[A-Za-z0-9._/+-]{1,200}\Z", prefix) or len(hex_digest) != 64:
        return _refuse(64, "usage", "The prefix or the digest is not of the agreed form.")
    path = prefix + "/tool/" + hex_digest + ".pyz"
    try:
        for folder in ("/tool", "/bin"):
            os.makedirs(prefix + folder, mode=0o755, exist_ok=True)
        content = stream.read(MAX_BYTES)
        if hashlib.sha256(content).hexdigest() != hex_digest:
            return _refuse(
                12, "corrupt", "The device tool did not arrive whole; nothing was changed."
            )
        _write(path, content, 0o644)
        run = "exec python3 -I -S -B " + path + " --prefix " + prefix
        _write(prefix + "/bin/edgeform-device", ("#!/bin/sh\n" + run + ' "$@"\n').encode(), 0o755)
    except OSError as exc:
        return _refuse(3, "refused", "The device tool cannot be written: " + str(exc))
    print(json.dumps({"ok": True, "tool": {"digest": digest}}))
    return 0


def _write(path: "str", content: "bytes", mode: "int") -> "None":
    tmp = path + ".tmp"
    descriptor = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
    os.rename(tmp, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def _refuse(exit_code: "int", code: "str", summary: "str") -> "int":
    error = {"code": code, "summary": summary, "detail": "", "hint": ""}
    print(json.dumps({"ok": False, "error": error}))
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer))
