"""The verb `bundle PATH`: bring this device up to date from a mounted stick, with nothing but this tool.

    bundle PATH [--no-return]
    bundle PATH --first-install SITE/DEVICE --fingerprint DIGITS
    bundle PATH --report                    only write receipts and state back

On a machine that was never enrolled a person types the root's fingerprint from paper; without that nothing on
the stick is believed. What was refused before any transaction began gets a receipt as well.
"""

import secrets
import sys
from typing import Any, Dict, List

from edgeform_device import enrol, toolfile, tuf, undertake
from edgeform_device.cli import options
from edgeform_device.errors import (
    Corrupt,
    DeviceError,
    Incomplete,
    NotTrusted,
    Refused,
    Stale,
    Usage,
)
from edgeform_device.live import live_environment
from edgeform_device.medium import Folder
from edgeform_device.offer import Offer
from edgeform_device.ports import TRANSACTION_LOCK, Environment, Verdict
from edgeform_device.records import State
from edgeform_device.reporting import report
from edgeform_device.session import Session, open_session
from edgeform_device.settle import NO_DIGEST
from edgeform_wire import bundle as wire
from edgeform_wire import digest as digests

USAGE = "bundle PATH [--first-install SITE/DEVICE --fingerprint DIGITS] [--report] [--no-return]"


def bundle(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Bring the deployment on a stick, run its transaction, and put receipts back."""
    if not arguments or arguments[0].startswith("--"):
        raise Usage("`bundle` needs the folder where the stick is mounted.", hint=USAGE)
    chosen = options(
        arguments[1:], {"first-install": "", "fingerprint": ""}, ("report", "no-return")
    )
    medium = Folder(arguments[0])
    answer: Dict[str, Any] = {"place": medium.place}
    if chosen["first-install"]:
        answer["enrolled"] = _first_install(
            session, medium, chosen["first-install"], chosen["fingerprint"]
        )
        session = open_session(session.layout.prefix, session.root, sys.stdin.buffer)
    env = live_environment(session)
    if chosen["report"]:
        return dict(answer, returned=_give_back(session, medium))
    offer = Offer(medium, session.disk, session.layout, session.identity())
    held = undertake.bring_lock(env)
    try:
        session.disk.fill_reserve()
        answer.update(
            undertake.undertake(
                session, env, offer, medium, is_repeat=lambda _approved, _why: False
            )
        )
    except DeviceError as exc:
        if not offer.has_begun:
            _note_refusal(env, exc)
        is_ours = offer.site in ("", session.identity().site)
        if is_ours and not chosen["no-return"]:
            returned = _give_back(session, medium)
            exc.detail = f"{exc.detail} Receipts: {returned}".strip()
        raise
    finally:
        held.release()
    answer["returned"] = "not asked for" if chosen["no-return"] else _give_back(session, medium)
    return answer


def _first_install(session: Session, medium: Folder, name: str, typed: str) -> Dict[str, Any]:
    """Enrol this machine with the stick's first root, when a person vouches for it."""
    site, _, device = name.partition("/")
    if not site or not device:
        raise Usage(f"--first-install takes SITE/DEVICE, not {name!r:.80}.", hint=USAGE)
    root = medium.read(f"{wire.METADATA}/1.root.json", tuf.MAX_ROOT_BYTES)
    if root is None or len(root) > tuf.MAX_ROOT_BYTES:
        raise Incomplete(
            f"There is no usable first root on {medium.place}.",
            hint="Make the stick anew:\n    edgeform bundle create --to DIR",
        )
    digest = digests.of_bytes(root)
    if not typed:
        raise Refused(
            "A first install needs the root's fingerprint, typed from paper.",
            detail="What stands on the stick cannot vouch for itself, so it is not shown here.",
            hint="Ask whoever made the stick; `edgeform bundle create` printed it. Then:\n    "
            + USAGE,
        )
    if not wire.is_fingerprint_of(typed, digest):
        raise NotTrusted(
            "The root on this stick does not have the fingerprint that was typed.",
            detail="Either a digit is wrong, or the stick is not the one that the paper belongs to."
            f" {wire.FINGERPRINT_DIGITS} digits are needed. Nothing was changed.",
            hint="Compare the digits once more. If they are right, do not use this stick.",
        )
    wish = enrol.read_wish(
        {"site": site, "device": device, "root": root.decode("utf-8", "replace")}
    )
    done = enrol.enrol(session.disk, session.layout, wish, session.root)
    installed = toolfile.install_running_tool(session.disk, session.layout)
    if installed is not None:
        # The copy in the prefix is what services and the transaction are started with: where a person had
        # put this tool, the pipelines' user may not read it, and nobody keeps it.
        sys.argv[0] = installed
    session.say(f"enrolled as {site}/{device}; its code is {done.code}: write it on the paper")
    return {"site": site, "device": device, "code": done.code, "root_digest": done.root_digest}


def _give_back(session: Session, medium: Folder) -> str:
    """`written`, or why not: a stick that is read-only or full takes nothing away from what was done."""
    try:
        for name, content in sorted(report(session).items()):
            medium.write(name, content)
    except OSError as exc:
        return f"not written to the stick: {exc.strerror}"
    except DeviceError as exc:
        return f"not written to the stick: {exc.summary}"
    return "written"


def _note_refusal(env: Environment, exc: DeviceError) -> None:
    """A receipt for what was refused before a transaction; those of a transaction it wrote itself."""
    if not isinstance(exc, (NotTrusted, Stale, Corrupt)):
        return
    held = env.locks.take(TRANSACTION_LOCK, 0.0)
    if held is None:
        return
    try:
        newest = State(env.disk, env.layout).committed()
        name = f"usb-{secrets.token_hex(4)}"
        env.receipts.record(
            Verdict(
                transaction=name,
                road="usb",
                deployment=0,
                plan_digest=NO_DIGEST,
                from_generation=0 if newest is None else newest.generation,
                to_generation=0,
                digest=NO_DIGEST,
                result="refused",
                reason=exc.summary,
                checks=(),
                seconds={},
                derived={},
            )
        )
    except OSError:
        return  # a full disk; the refusal itself is what counts
    finally:
        held.release()
