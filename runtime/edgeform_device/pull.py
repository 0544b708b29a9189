"""The verb `pull URL|DIR`: the device fetches what is signed for it, and runs the same transaction.

    pull URL [--no-return]
    pull --schedule URL [--every SECONDS] [--jitter SECONDS]     a systemd timer that does it
    pull --unschedule yes

Planning and publishing stay where the keys are. Whatever the server says, only a signed, current deployment
of this very device is tried. An obstacle that the newest receipt tells already is not told again: a timer
must not fill the disk.
"""

import os
from typing import Any, Dict, List

from edgeform_device import command, receipts, systemd, undertake
from edgeform_device.cli import number, options
from edgeform_device.durable import Disk
from edgeform_device.errors import DeviceError, Held, Refused, Usage
from edgeform_device.layout import Layout
from edgeform_device.live import live_environment
from edgeform_device.medium import Folder
from edgeform_device.offer import Offer
from edgeform_device.reporting import report
from edgeform_device.session import Session
from edgeform_device.trusted import Approved
from edgeform_device.web import AUTHORITY, CLIENT_CERTIFICATE, Server

UNIT = "edgeform-pull"
PASSED_ON = (AUTHORITY, CLIENT_CERTIFICATE)
EVERY_S, JITTER_S, SHORTEST_S = 900, 300, 60
USAGE = "pull URL|DIR [--no-return], or: pull --schedule URL [--every SECONDS] [--jitter SECONDS]"


def pull(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Fetch, apply, report; or install and remove the timer."""
    known = {"schedule": "", "unschedule": "", "every": str(EVERY_S), "jitter": str(JITTER_S)}
    where = ""
    if arguments and not arguments[0].startswith("--"):
        where, arguments = arguments[0], arguments[1:]
    chosen = options(arguments, known, ("no-return",))
    if chosen["unschedule"]:
        return unschedule(session)
    if chosen["schedule"]:
        return schedule(
            session,
            chosen["schedule"],
            number(chosen["every"], "every"),
            number(chosen["jitter"], "jitter"),
        )
    if not where:
        raise Usage("`pull` needs a URL or a folder.", hint=USAGE)
    return fetch(session, where, gives_back=not chosen["no-return"])


def fetch(session: Session, where: str, *, gives_back: bool) -> Dict[str, Any]:
    """One visit to the server.

    Raises:
        DeviceError: it is not reached, not trusted, or the deployment did not become the running one.
    """
    medium = _medium(where)
    env = live_environment(session)
    offer = Offer(medium, session.disk, session.layout, session.identity())
    held = undertake.bring_lock(env)
    answer: Dict[str, Any] = {"place": medium.place}
    try:
        session.disk.fill_reserve()
        answer.update(
            undertake.undertake(
                session,
                env,
                offer,
                medium,
                is_repeat=lambda approved, why: _is_told(session, approved, why),
            )
        )
    except DeviceError as exc:
        if gives_back and offer.has_begun:
            exc.detail = f"{exc.detail} Receipts: {_give_back(session, medium)}".strip()
        raise
    finally:
        held.release()
    is_news = answer["outcome"] != "unchanged"
    answer["returned"] = _give_back(session, medium) if gives_back and is_news else "no news"
    return answer


def _medium(where: str) -> Any:
    if "://" in where:
        return Server(where)
    folder = Folder(where)
    folder.road = "pull"
    return folder


def _is_told(session: Session, approved: Approved, why: DeviceError) -> bool:
    """Whether the newest receipt says this already, of this very deployment."""
    newest = receipts.last(session.disk, session.layout)
    if newest is None or newest.deployment != approved.deployment.number:
        return False
    if isinstance(why, Held):
        return newest.result in ("held", "rolled_back")
    return newest.result == "refused" and newest.reason.startswith(why.summary)


def _give_back(session: Session, medium: Any) -> str:
    """`written`, or why not: most servers allow nobody to write, and that is no failure."""
    try:
        for name, content in sorted(report(session).items()):
            medium.write(name, content)
    except (OSError, DeviceError) as exc:
        text = str(getattr(exc, "reason", exc))
        return (
            "not taken by the server: " + "".join(c if c.isprintable() else "?" for c in text)[:200]
        )
    return "written"


def schedule(session: Session, where: str, every_s: int, jitter_s: int) -> Dict[str, Any]:
    """A timer that pulls again and again, at times of the device's own.

    Raises:
        Refused: there is no systemd here. Usage: too often, or no usable URL.
    """
    who = session.identity()
    _medium(where)
    if not _is_plain(where):
        raise Usage("The URL has characters that a unit file would change.")
    if every_s < SHORTEST_S:
        raise Usage(f"--every {every_s} is too often; {SHORTEST_S} seconds is the least.")
    if who.services != "systemd":
        raise Refused(
            "There is no systemd here that could keep a timer.",
            hint="Let whatever starts programs on this device run:\n    edgeform-device pull "
            + where,
        )
    folder = os.path.join(session.root, systemd.PERMANENT_DIR.lstrip("/"))
    given = {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}
    for name, path in given.items():
        if not os.path.isabs(path) or not _is_plain(path):
            raise Usage(f"{name} is no plain absolute path, as a unit file wants it.")
    for name, text in units(session.layout, where, every_s, jitter_s, given).items():
        session.disk.write_file(os.path.join(folder, name), text.encode())
    if session.root == "/":
        command.run(("systemctl", "daemon-reload"))
        command.run(("systemctl", "enable", "--now", f"{UNIT}.timer"))
    return {"scheduled": where, "every_s": every_s, "jitter_s": jitter_s}


def unschedule(session: Session) -> Dict[str, Any]:
    """No timer any more; a pull under way ends by itself."""
    folder = os.path.join(session.root, systemd.PERMANENT_DIR.lstrip("/"))
    if session.root == "/":
        command.attempt(("systemctl", "disable", "--now", f"{UNIT}.timer"))
    removed = _remove(session.disk, folder)
    if session.root == "/":
        command.run(("systemctl", "daemon-reload"))
    return {"removed": removed}


def _remove(disk: Disk, folder: str) -> List[str]:
    names = [f"{UNIT}.timer", f"{UNIT}.service"]
    found = [name for name in names if disk.exists(os.path.join(folder, name))]
    for name in found:
        disk.remove(os.path.join(folder, name))
    return found


def _is_plain(text: str) -> bool:
    """Whether a unit file says it as it is."""
    return "%" not in text and text.isprintable() and not any(c in text for c in " \"'\\$")


def units(
    layout: Layout, where: str, every_s: int, jitter_s: int, environment: Dict[str, str]
) -> Dict[str, str]:
    """The timer and its service, by file name.

    Args:
        environment: what the service is given, by name: files that the connection needs.
    """
    given = "".join(f"Environment={name}={path}\n" for name, path in sorted(environment.items()))
    service = (
        "[Unit]\n"
        "Description=edgeform: fetch what is signed for this device\n"
        "Wants=network-online.target\nAfter=network-online.target\n\n"
        "[Service]\nType=oneshot\n"
        f"{given}ExecStart={layout.command} pull {where}\n"
        # Nothing new, not reached, or somebody at work: the next time is soon enough. See `errors`.
        "SuccessExitStatus=7 9\n"
        "Nice=5\nIOSchedulingClass=idle\n"
        # The transaction is a unit of its own; ending this one must not end that.
        "KillMode=process\n"
    )
    timer = (
        "[Unit]\nDescription=edgeform: time to fetch what is signed for this device\n\n"
        "[Timer]\n"
        f"OnBootSec=60\nOnUnitInactiveSec={every_s}\n"
        # A fleet that lost its power together would otherwise ask together for ever.
        f"RandomizedDelaySec={jitter_s}\nAccuracySec=1\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    return {f"{UNIT}.service": service, f"{UNIT}.timer": timer}
