"""What a device answered, read into values: bounded, cleaned of control characters, wrong types refused.

Pure. Nothing a device says is a template, a path to open or a command; it is compared and shown.
"""

import unicodedata
from typing import Any

from edgeform.domain.observed import (
    AcceleratorSeen,
    DriftFound,
    Facts,
    InstalledTool,
    Observation,
    Observed,
    PendingTransaction,
    PipelineHealth,
    Unobserved,
    Unreachability,
)
from edgeform_wire import canonical
from edgeform_wire import digest as digests
from edgeform_wire.errors import WireError

MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_WORRIES = 20
MAX_ITEMS = 10_000
MAX_TEXT = 1_000
_STATES = ("ready", "no-driver", "no-node")
_HEALTH = ("active", "failed", "starting", "stopped", "unknown")
_CLOCKS = ("ntp", "rtc", "unknown")
_VOLATILE = frozenset({"wall_time", "disk_free_bytes", "boot_id", "clock", "digest"})
"""Facts that change by themselves; a plan that depends on one of them asks the device again."""


def observation(device: str, exit_code: int, stdout: bytes, stderr: bytes) -> Observation:
    """What the answer to `observe_command` says; anything that is not of the agreed form is Unobserved."""
    try:
        answer = _object(_decoded(stdout), "answer")
        if answer.get("ok") is not True:
            return _refused(device, answer)
        return _observed(device, answer)
    except _Unusable as exc:
        said = clean(stderr.decode("utf-8", "replace"), 300)
        detail = f"{exc}; exit code {exit_code}" + (f"; it said: {said}" if said else "")
        return Unobserved(
            device=device,
            reason=Unreachability.PROTOCOL,
            detail=detail,
            hint="Log in and run `edgeform-device state` by hand; if the tool is damaged, enrol again:\n"
            f"    edgeform enroll -l {device}",
        )


def clean(text: str, most: int = MAX_TEXT) -> str:
    """A device's text made safe to show: control and format characters escaped, bounded in length."""
    head = text[:most]
    shown = "".join(
        c if unicodedata.category(c)[0] != "C" else c.encode("unicode_escape").decode()
        for c in head
    )
    return shown if len(text) <= most else shown + "…"


class _Unusable(ValueError):
    """The answer is not of the agreed form; says where."""


def _decoded(stdout: bytes) -> Any:
    if len(stdout) > MAX_ANSWER_BYTES:
        raise _Unusable(f"its answer is {len(stdout)} bytes, more than {MAX_ANSWER_BYTES}")
    try:
        return canonical.decode(stdout, "its answer")
    except WireError as exc:
        raise _Unusable(clean(str(exc), 200)) from exc


def _refused(device: str, answer: dict[str, Any]) -> Unobserved:
    error = _object(answer.get("error"), "error")
    code = _text(error, "code")
    parts = (_text(error, "summary"), _text(error, "detail"))
    return Unobserved(
        device=device,
        reason=Unreachability.PYTHON if code == "python" else Unreachability.PROTOCOL,
        detail=" ".join(part for part in parts if part),
        hint=_text(error, "hint"),
    )


def _observed(device: str, answer: dict[str, Any]) -> Observed:
    facts = _facts(_object(answer.get("facts"), "facts"))
    if "generation" not in answer:
        return Observed(device=device, facts=facts)
    generation = _object(answer["generation"], "generation")
    trust = _object(answer.get("trust") or {}, "trust")
    receipts = _object(answer.get("receipts") or {}, "receipts")
    return Observed(
        device=device,
        facts=facts,
        tool=_tool(answer.get("tool")),
        current=_count(generation, "current"),
        committed=_count(generation, "committed"),
        generation_digest=_digest(generation, "digest"),
        manifest=_manifest(generation),
        deployment=_count(generation, "deployment"),
        root_digest=_digest(trust, "root_digest"),
        transaction=_transaction(answer.get("transaction")),
        quarantined=tuple(_held(item) for item in _items(answer, "quarantine")),
        health=tuple(_health(item) for item in _items(answer, "health")),
        drift=tuple(_drift(item) for item in _items(answer, "drift")),
        last_receipt=_count(receipts, "last_seq"),
        needs_hands=_text(answer, "needs_hands"),
        worries=_worries(answer.get("vitals")),
    )


def _worries(value: Any) -> tuple[str, ...]:
    """None from a tool that does not look at its machine yet."""
    if value is None:
        return ()
    said = _object(value, "vitals").get("worries", [])
    if not isinstance(said, list) or not all(isinstance(text, str) for text in said):
        raise _Unusable("vitals.worries is not a list of texts")
    return tuple(clean(text, 200) for text in said[:MAX_WORRIES])


def _facts(value: dict[str, Any]) -> Facts:
    found = Facts(
        digest="",
        arch=_text(value, "arch"),
        os_id=_text(value, "os_id"),
        os_version=_text(value, "os_version"),
        kernel=_text(value, "kernel"),
        python=_text(value, "python"),
        glibc=_text(value, "glibc"),
        machine=_text(value, "machine"),
        hostname=_text(value, "hostname"),
        boot_id=_text(value, "boot_id"),
        cpus=_count(value, "cpus"),
        memory_bytes=_count(value, "memory_bytes"),
        disk_free_bytes=_count(value, "disk_free_bytes"),
        disk_total_bytes=_count(value, "disk_total_bytes"),
        has_systemd=_truth(value, "has_systemd"),
        is_root=_truth(value, "is_root"),
        clock=_choice(value, "clock", _CLOCKS),
        wall_time=_text(value, "wall_time"),
        accelerators=tuple(_accelerator(item) for item in _items(value, "accelerators")),
        packages=_pairs(value, "packages"),
        modules=_texts(value, "modules"),
        groups=_texts(value, "groups"),
        sysctl=_pairs(value, "sysctl"),
        files=_pairs(value, "files"),
    )
    return _with_digest(found)


def _with_digest(facts: Facts) -> Facts:
    """The facts with a digest over those a plan depends on."""
    lasting = {
        name: _plain(getattr(facts, name)) for name in facts.__slots__ if name not in _VOLATILE
    }
    fields = {name: getattr(facts, name) for name in facts.__slots__}
    fields["digest"] = canonical.digest_of(lasting)
    return Facts(**fields)


def _plain(value: Any) -> Any:
    if isinstance(value, AcceleratorSeen):
        return {name: getattr(value, name) for name in value.__slots__}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _accelerator(value: Any) -> AcceleratorSeen:
    item = _object(value, "accelerator")
    return AcceleratorSeen(
        kind=_text(item, "kind"),
        bus_id=_text(item, "bus_id"),
        driver=_text(item, "driver"),
        node=_text(item, "node"),
        state=_choice(item, "state", _STATES),
    )


def _tool(value: Any) -> InstalledTool | None:
    if value is None:
        return None
    item = _object(value, "tool")
    return InstalledTool(version=_text(item, "version"), digest=_digest(item, "digest") or "")


def _transaction(value: Any) -> PendingTransaction | None:
    if value is None:
        return None
    item = _object(value, "transaction")
    return PendingTransaction(
        id=_text(item, "id"),
        phase=_text(item, "phase"),
        to_generation=_count(item, "to_generation"),
        who=_text(item, "who"),
        until=_text(item, "until"),
    )


def _held(value: Any) -> str:
    """The digest of one entry of the quarantine."""
    item = _object(value, "quarantine entry")
    found = _digest(item, "digest")
    if found is None:
        raise _Unusable("quarantine entry: no digest")
    return found


def _health(value: Any) -> PipelineHealth:
    item = _object(value, "health")
    return PipelineHealth(
        name=_text(item, "name"),
        state=_choice(item, "state", _HEALTH),
        detail=_text(item, "detail"),
    )


def _drift(value: Any) -> DriftFound:
    item = _object(value, "drift")
    return DriftFound(
        kind=_text(item, "kind"),
        path=_text(item, "path"),
        expected=_text(item, "expected"),
        actual=_text(item, "actual"),
    )


def _manifest(generation: dict[str, Any]) -> str | None:
    """The committed manifest as canonical JSON, when it is the one its digest names."""
    value = generation.get("manifest")
    if value is None or canonical.digest_of(value) != _digest(generation, "digest"):
        return None
    return canonical.encode(value).decode()


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Unusable(f"{what} is not an object")
    return value


def _items(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name, [])
    if not isinstance(found, list) or len(found) > MAX_ITEMS:
        raise _Unusable(f"{name} is not a list of at most {MAX_ITEMS}")
    return found


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name, "")
    if found is None:
        return ""
    if not isinstance(found, str):
        raise _Unusable(f"{name} is not text")
    return clean(found)


def _choice(value: dict[str, Any], name: str, among: tuple[str, ...]) -> str:
    found = _text(value, name)
    if found not in among:
        raise _Unusable(f"{name} is {found[:40]!r}, none of {', '.join(among)}")
    return found


def _count(value: dict[str, Any], name: str) -> int:
    found = value.get(name, 0)
    if type(found) is not int or not 0 <= found < 2**63:
        raise _Unusable(f"{name} is not a whole number")
    return found


def _truth(value: dict[str, Any], name: str) -> bool:
    found = value.get(name)
    if not isinstance(found, bool):
        raise _Unusable(f"{name} is neither true nor false")
    return found


def _digest(value: dict[str, Any], name: str) -> str | None:
    found = value.get(name)
    if found is None:
        return None
    try:
        return digests.parse(found, name)
    except WireError as exc:
        raise _Unusable(clean(str(exc), 120)) from exc


def _texts(value: dict[str, Any], name: str) -> tuple[str, ...]:
    found = _items(value, name)
    if not all(isinstance(item, str) for item in found):
        raise _Unusable(f"{name}: an entry is not text")
    return tuple(sorted(clean(item) for item in found))


def _pairs(value: dict[str, Any], name: str) -> tuple[tuple[str, str], ...]:
    found = _object(value.get(name, {}), name)
    if len(found) > MAX_ITEMS:
        raise _Unusable(f"{name}: more than {MAX_ITEMS}")
    if not all(isinstance(item, str) for item in found.values()):
        raise _Unusable(f"{name}: a value is not text")
    return tuple(sorted((clean(key), clean(item)) for key, item in found.items()))
