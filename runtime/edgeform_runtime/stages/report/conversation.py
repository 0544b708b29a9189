"""What a broker says to a device, and what is answered, in each profile. Pure functions.

Sources: AWS IoT Core developer guide, `jobs-mqtt-api` (topics, fields of start-next and update; details are
strings of at most 1,024 characters), `device-shadow-mqtt` (get, delta), `device-shadow-document`; Azure IoT
Hub, `iot-mqtt-connect-to-iot-hub` (twin GET and PATCH, direct methods), api-version 2021-04-12.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple
from urllib.parse import unquote

from edgeform_runtime.stages.report.asks import REPORT, UNKNOWN, WRONG, Answer, Ask
from edgeform_runtime.stages.report.profiles import SHADOW, Outgoing, Profile, encoded

MAX_DETAIL = 1024
MAX_TEXT = 128
_METHOD = re.compile(r"\$iothub/methods/POST/([^/]{1,128})/\?\$rid=([A-Za-z0-9_-]{1,64})")
_TWIN = re.compile(r"\$iothub/twin/res/(\d{3})/\?\$rid=([^&]{1,64})")
_JOB = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""It becomes part of a topic. Source: AWS IoT Jobs data plane, UpdateJobExecution."""
_GET = "get"


@dataclass(frozen=True)
class Heard:
    """What a message means.

    Args:
        ask: a question to be answered. rejected: the broker did not like a message, in its words.
        stale: pipelines of the device's document that this device does not have any more.
        again: what to send at once.
    """

    ask: Optional[Ask] = None
    rejected: str = ""
    stale: Tuple[str, ...] = ()
    again: Tuple[Outgoing, ...] = ()


NOTHING = Heard()


def topics(profile: Profile) -> Tuple[str, ...]:
    """What to subscribe; exactly these, as both clouds advise."""
    if profile.kind == "aws_iot":
        shadow, jobs = _shadow(profile), _jobs(profile)
        if not profile.may_be_asked:
            return (f"{shadow}/update/rejected",)
        return (
            f"{shadow}/update/rejected",
            f"{shadow}/update/delta",
            f"{shadow}/get/accepted",
            f"{jobs}/notify-next",
            f"{jobs}/start-next/accepted",
            f"{jobs}/+/update/rejected",
        )
    if profile.kind == "azure_iot":
        return (
            "$iothub/twin/res/#",
            "$iothub/twin/PATCH/properties/desired/#",
            "$iothub/methods/POST/#",
        )
    return (f"{profile.base}/{profile.place.pipeline}/ask",) if profile.may_be_asked else ()


def hello(profile: Profile) -> Tuple[Outgoing, ...]:
    """What to send after each connection: what changed meanwhile is not told by itself."""
    if profile.kind == "aws_iot" and profile.may_be_asked:
        return (Outgoing(f"{_shadow(profile)}/get", b""), _next_job(profile))
    if profile.kind == "azure_iot":
        return (Outgoing(f"$iothub/twin/GET/?$rid={_GET}", b""),)
    return ()


def heard(profile: Profile, topic: str, payload: bytes) -> Heard:
    """What a message means; nothing where it cannot be read, whoever sent it."""
    found = _object(payload)
    if profile.kind == "aws_iot":
        return _aws(profile, topic, found, payload)
    if profile.kind == "azure_iot":
        return _azure(profile, topic, found, payload)
    operation = _text(found.get("operation"))
    if not operation:
        return NOTHING
    return Heard(ask=Ask(operation, "topic", _text(found.get("id"))))


def answer(profile: Profile, ask: Ask, said: Answer) -> Tuple[Outgoing, ...]:
    """The messages that carry the answer."""
    if ask.via == "job":
        status = "SUCCEEDED" if said.is_ok else "FAILED"
        if said.status in (UNKNOWN, WRONG):
            status = "REJECTED"
        update = {
            "status": status,
            "statusDetails": {k: _detail(v) for k, v in sorted(said.body.items())},
            "expectedVersion": ask.version,
            "clientToken": f"{profile.place.pipeline}-{ask.token}"[-64:],
        }
        topic = f"{_jobs(profile)}/{ask.token}/update"
        return (Outgoing(topic, encoded(update)), _next_job(profile))
    if ask.via == "method":
        topic = f"$iothub/methods/res/{said.status}/?$rid={ask.token}"
        return (Outgoing(topic, encoded(said.body)),)
    told = {"id": ask.token, "operation": ask.operation, "status": said.status}
    if ask.via == "desired" and profile.kind == "aws_iot":
        document = {"state": {"reported": {"ask": told}}, "clientToken": f"ask-{ask.token}"[-64:]}
        return (Outgoing(f"{_shadow(profile)}/update", encoded(document)),)
    if ask.via == "desired":
        topic = "$iothub/twin/PATCH/properties/reported/?$rid=ask"
        return (Outgoing(topic, encoded({"edgeform": {"ask": told}})),)
    topic = f"{profile.base}/{profile.place.pipeline}/answer"
    return (Outgoing(topic, encoded({**told, "body": said.body})),)


def _aws(profile: Profile, topic: str, found: Dict[str, Any], payload: bytes) -> Heard:
    shadow, jobs = _shadow(profile), _jobs(profile)
    if topic.endswith("/rejected"):
        return Heard(rejected=_shown(payload))
    if topic == f"{shadow}/get/accepted":
        state = _inner(found, "state")
        return _document(profile, _inner(state, "desired"), _inner(state, "reported"))
    if topic == f"{shadow}/update/delta":
        return _document(profile, _inner(found, "state"), {})
    if topic == f"{jobs}/notify-next":
        # An empty one says that nothing waits any more.
        return Heard(again=(_next_job(profile),)) if _inner(found, "execution") else NOTHING
    if topic == f"{jobs}/start-next/accepted":
        execution = _inner(found, "execution")
        token, version = _text(execution.get("jobId")), execution.get("versionNumber")
        if _JOB.fullmatch(token) and type(version) is int:
            operation = _text(_inner(execution, "jobDocument").get("operation"))
            return Heard(ask=Ask(operation, "job", token, version))
    return NOTHING


def _azure(profile: Profile, topic: str, found: Dict[str, Any], payload: bytes) -> Heard:
    method = _METHOD.fullmatch(topic)
    if method is not None:
        return Heard(ask=Ask(unquote(method[1]), "method", method[2]))
    if topic.startswith("$iothub/twin/PATCH/properties/desired/"):
        return _document(profile, _inner(found, "edgeform"), {})
    twin = _TWIN.match(topic)
    if twin is None:
        return NOTHING
    if not twin[1].startswith("2"):
        return Heard(rejected=f"{twin[1]} {_shown(payload)}")
    if twin[2] != _GET:
        return NOTHING
    desired, reported = _inner(found, "desired"), _inner(found, "reported")
    return _document(profile, _inner(desired, "edgeform"), _inner(reported, "edgeform"))


def _document(profile: Profile, desired: Dict[str, Any], reported: Dict[str, Any]) -> Heard:
    """A shadow's or twin's wish `ask: {id, operation}`, unless its id was answered; and old pipelines."""
    wish, was = _inner(desired, "ask"), _inner(reported, "ask")
    token = _text(wish.get("id"))
    ask = None
    if token and token != was.get("id"):
        ask = Ask(_text(wish.get("operation")) or REPORT, "desired", token)
    names = _inner(reported, "pipelines")
    stale = tuple(sorted(n for n in names if n != profile.place.pipeline and len(n) <= MAX_TEXT))
    return Heard(ask=ask, stale=stale)


def _shadow(profile: Profile) -> str:
    return SHADOW.format(thing=profile.name)


def _jobs(profile: Profile) -> str:
    return f"$aws/things/{profile.name}/jobs"


def _next_job(profile: Profile) -> Outgoing:
    return Outgoing(
        f"{_jobs(profile)}/start-next", encoded({"clientToken": profile.place.pipeline})
    )


def _object(payload: bytes) -> Dict[str, Any]:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _inner(found: Mapping[str, Any], name: str) -> Dict[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _detail(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:MAX_DETAIL]


def _shown(payload: bytes) -> str:
    return payload[:500].decode("utf-8", "replace")
