"""A plan judged by Rego policies: package `edgeform`, rules `deny` and `warn` that hold messages.

The same files serve conftest and OPA. What cannot be judged is not allowed: a folder without a policy, a
file of another package, a mistake in a rule are errors, never a silent yes. Nothing is sent anywhere:
the interpreter runs in this process, and regopy has no built-in that opens a connection.
"""

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edgeform.errors import UsageError

PACKAGE = "edgeform"
_PACKAGE = re.compile(r"^\s*package\s+([A-Za-z0-9_.]+)", re.MULTILINE)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAX_POLICY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One file."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Messages, sorted; a plan with any denial must not be applied."""

    denials: tuple[str, ...]
    warnings: tuple[str, ...]


def read_policies(folder: Path) -> tuple[Policy, ...]:
    """Every `*.rego` of a folder and those below it, but for `*_test.rego`.

    Raises:
        UsageError: there is none, or one that would never be asked.
    """
    paths = sorted(p for p in folder.rglob("*.rego") if not p.name.endswith("_test.rego"))
    if not paths:
        raise UsageError(
            "No policy is there: no file ends in .rego.",
            address=str(folder),
            hint="Two to begin with: site/factory/policies, explained in docs/how-to/git-and-ci.md",
        )
    return tuple(_read(path) for path in paths)


def judge(policies: Sequence[Policy], document: Mapping[str, Any]) -> Judgement:
    """What the policies say about a document.

    Raises:
        UsageError: regopy is not installed, or a policy has a mistake.
    """
    found = _evaluated(policies, document)
    if "deny" not in found:
        raise UsageError(
            f"No policy defines data.{PACKAGE}.deny, so none of them could ever say no.",
            address=policies[0].name if policies else "",
            hint='deny contains message if { ...; message := "why not" }',
        )
    return Judgement(
        denials=_messages(found["deny"], "deny"), warnings=_messages(found.get("warn", []), "warn")
    )


def at_this_time(now: datetime) -> dict[str, Any]:
    """What `input.at` says: the hour where the run stands, for rules about shop hours."""
    return {
        "iso": now.isoformat(),
        "weekday": _WEEKDAYS[now.weekday()],
        "hour": now.hour,
        "minute": now.minute,
    }


def _read(path: Path) -> Policy:
    try:
        content = path.read_bytes()
        text = content.decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"The policy cannot be read: {exc}", address=str(path)) from exc
    if len(content) > MAX_POLICY_BYTES:
        raise UsageError(f"A policy of {len(content)} bytes is none.", address=str(path))
    named = _PACKAGE.search(text)
    if named is None or named[1].partition(".")[0] != PACKAGE:
        raise UsageError(
            f"Its package is {named[1] if named else 'not said'}, so it would never be asked.",
            address=str(path),
            hint=f"Begin it with:\n    package {PACKAGE}",
        )
    return Policy(name=str(path), text=text)


def _evaluated(policies: Sequence[Policy], document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        regopy = importlib.import_module("regopy")
    except ImportError as exc:
        raise UsageError(
            "Policies need the interpreter regopy, which is not installed.",
            hint="It is an extra:\n    pip install 'edgeform[policy]'",
        ) from exc
    interpreter = regopy.Interpreter()
    name = ""
    try:
        for policy in policies:
            name = policy.name
            interpreter.add_module(policy.name, policy.text)
        name = ""
        interpreter.set_input(document)
        output = interpreter.query(f"data.{PACKAGE}")
    except (regopy.RegoError, ValueError) as exc:  # some errors come as text that is not JSON
        raise UsageError(
            f"The policy cannot be evaluated: {_first_lines(getattr(exc, 'doc', str(exc)))}",
            address=name or policies[0].name,
            hint="A policy that cannot be asked allows nothing. Try it with:\n    opa check DIR",
        ) from exc
    # A round trip, so that regopy's own kinds of values end here.
    expressions = json.loads(str(output)).get("expressions") or [{}]
    found = expressions[0]
    return found if isinstance(found, dict) else {}


def _messages(found: Any, rule: str) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(m, str) for m in found):
        raise UsageError(
            f"data.{PACKAGE}.{rule} is no set of messages: {json.dumps(found)[:120]}",
            hint=f'{rule} contains message if {{ ...; message := "why" }}',
        )
    return tuple(sorted(set(found)))


def _first_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines[:4])[:400]
