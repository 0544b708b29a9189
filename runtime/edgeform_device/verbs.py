"""The verbs that look, receive, enrol and tidy; those of the transaction stand in `verbs_transaction`.

Each takes the session and its options and gives the answer's fields. What only one verb needs is imported
in it: the tool starts anew for every question.
"""
# ruff: noqa: PLC0415 - see above; `state` takes 40 ms and everything together 150 (2 vCPU, 2026-11)

from typing import Any, Dict, List

from edgeform_device.cli import number, options
from edgeform_device.errors import Usage
from edgeform_device.session import Session


def version(_session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Which tool this is, and which state formats it reads."""
    from edgeform_device import toolfile
    from edgeform_device.version import STATE_FORMATS, VERSION

    options(arguments, {})
    return {
        "version": VERSION,
        "digest": toolfile.running_digest(),
        "state_formats": list(STATE_FORMATS),
    }


def probe(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """The machine's facts."""
    options(arguments, {})
    return {"facts": _facts(session)}


def state(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """The machine's facts and everything the device knows about itself."""
    from edgeform_device import state as states

    chosen = options(arguments, {"verify": "none"})
    return dict(states.state(session, chosen["verify"]), facts=_facts(session))


def drift(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """The device against its own last confirmed generation; what it found, or what it kept of such checks.

    `--keep` writes the findings down for the next visit, which is what a timer on an isolated device does;
    `--kept` looks at nothing and gives back what was written down.
    """
    from edgeform_device import driftlog, probe, signing
    from edgeform_device import state as states
    from edgeform_device.boottime import BootClock
    from edgeform_wire.finding import Finding
    from edgeform_wire.receipt import GENESIS

    chosen = options(arguments, {"verify": "sample"}, ("keep", "kept"))
    if chosen["kept"]:
        session.identity()
        kept = driftlog.read(session.disk, session.layout)
        return {"kept": [one.to_json() for one in kept]}
    who = session.identity()
    found = states.state(session, chosen["verify"])
    when = BootClock().wall_time()
    finding = Finding(
        site=who.site,
        device=who.device,
        seq=1,
        prev=GENESIS,
        first=when,
        last=when,
        times=1,
        clock=probe.clock(probe.Root(session.root)),
        generation=found["generation"]["committed"] or 0,
        digest=found["generation"]["digest"],
        drift=tuple(found["drift"]),
        health=tuple(found["health"]),
        needs_hands=found["needs_hands"],
        signing=signing.UNSIGNED,
    )
    answer: Dict[str, Any] = {"found": finding.to_json()}
    if chosen["keep"]:
        signer = signing.find_signer(session.disk, session.layout)
        answer["kept"] = driftlog.keep(session.disk, session.layout, signer, finding)
    return answer


def _facts(session: Session) -> Dict[str, Any]:
    from edgeform_device import probe as probes

    try:
        questions = probes.checked_questions(session.request())
    except ValueError as exc:
        raise Usage("The questions cannot be read.", detail=str(exc)) from exc
    return probes.probe(questions, session.root, session.layout.prefix)


def missing(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Which of the named blobs must be sent."""
    from edgeform_device import ingest as ingests
    from edgeform_device.store import Store

    options(arguments, {})
    session.identity()
    store = Store(session.layout, session.disk)
    return {"missing": ingests.missing(store, session.request())}


def ingest(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Blobs and metadata from standard input."""
    from edgeform_device import ingest as ingests
    from edgeform_device.store import Store

    options(arguments, {})
    session.identity()
    session.disk.fill_reserve()
    taken = ingests.Ingest(Store(session.layout, session.disk), session.stdin)
    taken.run()
    return {"received": taken.received, "metadata": taken.metadata}


def enrol(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Who this device is from now on, and the code two people compare."""
    from edgeform_device import enrol as enrolment

    options(arguments, {})
    wish = enrolment.read_wish(session.request())
    done = enrolment.enrol(session.disk, session.layout, wish, session.root)
    return {
        "site": done.identity.site,
        "device": done.identity.device,
        "services": done.identity.services,
        "device_key": done.device_key,
        "root_digest": done.root_digest,
        "profile": done.profile,
        "code": done.code,
    }


def secret(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """`put NAME [--hmac PLANNED]`, `list`, `drop NAME`: names and HMACs, never a value."""
    from edgeform_device import secrets

    session.identity()
    disk, layout = session.disk, session.layout
    if arguments == ["list"]:
        return {"secrets": [s.to_json() for s in secrets.listed(disk, layout)]}
    if len(arguments) >= 2 and arguments[0] == "put":
        chosen = options(arguments[2:], {"hmac": ""})
        value = session.read_stdin(secrets.MAX_BYTES)
        done = secrets.put(disk, layout, arguments[1], value, chosen["hmac"])
        return {"secret": done.to_json()}
    if len(arguments) == 2 and arguments[0] == "drop":
        return {"dropped": secrets.drop(disk, layout, arguments[1])}
    raise Usage("secret takes `put NAME`, `list` or `drop NAME`.")


def gc(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """What was removed, or with --dry-run would be."""
    from edgeform_device import gc as collection

    chosen = options(arguments, {}, ("dry-run",))
    session.identity()
    done = collection.collect_locked(
        session.disk, session.layout, is_dry_run=bool(chosen["dry-run"])
    )
    return {
        "freed_bytes": done.freed_bytes,
        "removed": list(done.removed),
        "foreign": list(done.foreign),
    }


def logs(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """The last lines that a pipeline's service wrote."""
    from edgeform_device import logs as journal

    chosen = options(arguments, {"pipeline": "", "lines": "100"})
    lines = journal.lines(
        session.identity(),
        session.layout,
        chosen["pipeline"],
        number(chosen["lines"], "lines"),
    )
    return {"lines": lines}


def receipts(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """The receipts after a sequence number, as they stand."""
    from edgeform_device import receipts as log

    chosen = options(arguments, {"since": "0"})
    found = log.since(session.layout, number(chosen["since"], "since"))
    return {"receipts": [line.decode("utf-8", "replace") for line in found]}


def generations(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Every generation on the disk, with its manifest and its origin."""
    from edgeform_device import kept

    options(arguments, {})
    session.identity()
    return {"generations": kept.kept(session.disk, session.layout)}


def release(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """What was taken out of quarantine, so that it may be tried again."""
    from edgeform_device import quarantine
    from edgeform_wire.fields import Fields

    options(arguments, {})
    session.identity()
    fields = Fields(session.request(), "release")
    digest, who = fields.digest("digest"), fields.text("who", default="local")
    fields.done()
    found = quarantine.release(session.disk, session.layout, digest)
    session.say(f"{who} released {digest}, held since {found.when}: {found.reason}")
    return {"released": dict(vars(found), digest=digest)}


def plan(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """What would stand against a deployment, without doing anything."""
    from edgeform_device import preparation

    options(arguments, {})
    wanted = session.request().get("deployment")
    if wanted is not None and type(wanted) is not int:
        raise Usage("`deployment` is a number.")
    return preparation.plan(session.disk, session.layout, session.identity(), wanted)


def selftest(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Whether this tool can do on this machine what it must."""
    from edgeform_device import selftest as tests

    options(arguments, {})
    return {"checks": tests.run(session.disk, session.layout)}
