"""The command line: one verb, JSON in, one JSON object out, and an exit code that says how it ended.

A verb is a function that takes the session and its options and gives the answer's fields. Each is imported
when it is asked for: a tool that is started for every question must not read what the question does not
need. Whatever goes wrong, what is printed is one JSON object and never a stack trace.
"""

import errno
import importlib
import json
import sys
from typing import Any, Callable, Dict, List, Tuple

from edgeform_device.errors import DeviceError, Refused, Usage
from edgeform_device.session import Session, open_session, say
from edgeform_wire.errors import WireError

Verb = Callable[[Session, List[str]], Dict[str, Any]]

VERBS: Dict[str, Tuple[str, str]] = {
    "probe": ("verbs", "probe"),
    "state": ("verbs", "state"),
    "drift": ("verbs", "drift"),
    "missing": ("verbs", "missing"),
    "ingest": ("verbs", "ingest"),
    "plan": ("verbs", "plan"),
    "enrol": ("verbs", "enrol"),
    "secret": ("verbs", "secret"),
    "gc": ("verbs", "gc"),
    "logs": ("verbs", "logs"),
    "receipts": ("verbs", "receipts"),
    "generations": ("verbs", "generations"),
    "release": ("verbs", "release"),
    "capture": ("captures", "capture"),
    "figures": ("watched", "figures"),
    "selftest": ("verbs", "selftest"),
    "version": ("verbs", "version"),
    "bundle": ("bundle_verb", "bundle"),
    "pull": ("pull", "pull"),
    "activate": ("transaction_verbs", "activate"),
    "rollback": ("transaction_verbs", "rollback"),
    "status": ("transaction_verbs", "status"),
    "confirm": ("transaction_verbs", "confirm"),
    "check": ("transaction_verbs", "check"),
    "recover": ("transaction_verbs", "recover"),
    "transact": ("transaction_verbs", "transact"),
    "guard": ("transaction_verbs", "guard"),
    "run": ("transaction_verbs", "run"),
    "supervise": ("transaction_verbs", "supervise"),
}
"""Verb -> (module of this package, function)."""

DISK_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""What a disk says of itself; it is no bug of the tool, and the operator can do something about it."""


def main(arguments: List[str]) -> int:
    """Run one verb; its exit code, as `errors` says."""
    try:
        answer, exit_code = _run(arguments)
        print(json.dumps(answer, sort_keys=True), flush=True)
    except BrokenPipeError:
        # Nobody reads the answer any more; Python would complain again when it closes standard output.
        sys.stderr.close()
        return 1
    return exit_code


def _run(arguments: List[str]) -> Tuple[Dict[str, Any], int]:
    try:
        prefix, root, verb, rest = _split(arguments)
        function = _find(verb)
        session = open_session(prefix, root, sys.stdin.buffer)
        return dict(function(session, rest), ok=True), 0
    except DeviceError as exc:
        return {"ok": False, "error": exc.to_json()}, exc.exit_code
    except WireError as exc:
        error = Usage("What was received is not of the agreed form.", detail=str(exc))
        return {"ok": False, "error": error.to_json()}, error.exit_code
    except OSError as exc:
        if exc.errno not in DISK_REFUSALS:
            return _internal(exc)
        refusal = _disk_refused(exc)
        return {"ok": False, "error": refusal.to_json()}, refusal.exit_code
    except Exception as exc:  # noqa: BLE001 - the last place before the operator: JSON, not a trace
        return _internal(exc)


def _disk_refused(exc: OSError) -> Refused:
    where = f" ({exc.filename})" if exc.filename else ""
    return Refused(
        f"The disk refused: {exc.strerror}{where}.",
        detail="What was serving before goes on.",
        hint="Look for a full disk, a failing one, or one that was mounted read-only:\n"
        "    df; findmnt; dmesg",
    )


def _internal(exc: Exception) -> Tuple[Dict[str, Any], int]:
    place = exc.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = ""
    if place is not None:
        where = f"{place.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{place.tb_lineno}"
    error = DeviceError(
        "The device tool failed unexpectedly.",
        detail=f"{type(exc).__name__} at {where}: {exc}"[:500],
        hint="This is a bug in edgeform-device, or a failing disk. Report it with this line.",
    )
    say(f"{error.summary} {error.detail}")
    return {"ok": False, "error": error.to_json()}, error.exit_code


def _split(arguments: List[str]) -> Tuple[str, str, str, List[str]]:
    found = {"--prefix": "/var/lib/edgeform", "--root": "/"}
    rest = list(arguments)
    while rest and rest[0] in found:
        if len(rest) < 2:
            raise Usage(f"{rest[0]} needs a value.")
        found[rest[0]] = rest[1]
        rest = rest[2:]
    if not rest:
        raise Usage("No verb given.", hint="The verbs are: " + ", ".join(sorted(VERBS)) + ".")
    return found["--prefix"], found["--root"], rest[0], rest[1:]


def _find(verb: str) -> Verb:
    if verb not in VERBS:
        raise Usage(
            f"{verb!r:.60} is no verb of this tool.",
            hint="The verbs are: " + ", ".join(sorted(VERBS)) + ".",
        )
    module, name = VERBS[verb]
    function: Verb = getattr(importlib.import_module("edgeform_device." + module), name)
    return function


def options(
    arguments: List[str], known: Dict[str, str], flags: Tuple[str, ...] = ()
) -> Dict[str, str]:
    """The values of `--name value` options and of flags ("yes" or empty), with defaults from `known`.

    Raises:
        Usage: names the option that is not known or has no value.
    """
    found = dict(known, **dict.fromkeys(flags, ""))
    rest = list(arguments)
    while rest:
        name = rest.pop(0)
        key = name[2:] if name.startswith("--") else ""
        if key in flags:
            found[key] = "yes"
        elif key in known and rest:
            found[key] = rest.pop(0)
        elif key in known:
            raise Usage(f"{name} needs a value.")
        else:
            raise Usage(f"{name!r:.60} is no option here.")
    return found


def number(text: str, name: str) -> int:
    """The whole number of an option, not negative.

    Raises:
        Usage: it is something else.
    """
    if not text.isdigit() or len(text) > 15:
        raise Usage(f"--{name} {text!r:.40} is not a whole number.")
    return int(text)
