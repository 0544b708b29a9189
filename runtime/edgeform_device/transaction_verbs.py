"""The verbs around the transaction: what the controller calls, and what the tool calls of itself.

What only one verb needs is imported in it: a runtime starts twice in each update and needs no trust.
"""
# ruff: noqa: PLC0415 - see above; `run` takes 75 ms so and took 234 (2 vCPU, 2026-11)

from typing import TYPE_CHECKING, Any, Dict, List, Optional

from edgeform_device.cli import number, options
from edgeform_device.errors import Refused, Usage
from edgeform_device.session import Session

if TYPE_CHECKING:
    from edgeform_device.journal import Outcome
    from edgeform_wire.receipt import CheckResult


def activate(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Begin the transaction of a deployment, detached."""
    from edgeform_device import activate as orders
    from edgeform_device.live import live_environment
    from edgeform_wire.fields import Fields

    options(arguments, {})
    fields = Fields(session.request(), "activate")
    request = orders.Request(
        deployment=fields.integer("deployment", minimum=1),
        generation=0,
        plan_digest=fields.digest("plan_digest"),
        road=fields.text("road", default="ssh"),
        who=fields.text("who"),
        nonce=fields.text("nonce"),
        lease_s=fields.number("lease_s", default=600.0),
    )
    fields.done()
    started = orders.activate(live_environment(session), request)
    return {"transaction": started.transaction, "fence": started.fence}


def rollback(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Begin the transaction back to a kept generation, detached."""
    import secrets

    from edgeform_device import activate as orders
    from edgeform_device.live import live_environment
    from edgeform_wire.fields import Fields

    options(arguments, {})
    fields = Fields(session.request(), "rollback")
    to = fields.optional_integer("to", minimum=1)
    who = fields.text("who", default="local")
    fields.done()
    started = orders.rollback(live_environment(session), to, who, secrets.token_hex(16))
    return {"transaction": started.transaction, "fence": started.fence}


def status(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """How far a transaction is; waits for its end if asked."""
    from edgeform_device import status as polling
    from edgeform_device.boottime import BootClock

    found = options(arguments, {"transaction": "", "wait": "0"})
    if not found["transaction"]:
        raise Usage("--transaction is missing.")
    wait_s = float(number(found["wait"], "wait"))
    clock = BootClock(session.identity().root)
    return polling.status(session.disk, session.layout, clock, found["transaction"], wait_s)


def confirm(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Decide for a transaction, with its nonce."""
    from edgeform_device import decide
    from edgeform_device.live import live_environment
    from edgeform_wire.fields import Fields

    options(arguments, {})
    fields = Fields(session.request(), "confirm")
    transaction_id, nonce = fields.text("transaction"), fields.text("nonce")
    fields.done()
    return {"decided": decide.confirm(live_environment(session), transaction_id, nonce)}


def recover(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Put the state in order and run what is committed; with --dry-run only say what would be done."""
    from edgeform_device import boots, recovery, systemd
    from edgeform_device.live import live_environment

    found = options(arguments, {}, ("dry-run",))
    env = live_environment(session)
    done = recovery.recover(env, is_dry_run=bool(found["dry-run"]))
    if not found["dry-run"] and systemd.marks_shutdown(session.layout):
        boots.count(session.disk, session.layout, env.clock.boot_id())
    return {"actions": list(done.actions)}


def check(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Judge a running pipeline now."""
    from edgeform_device import generations
    from edgeform_device.live import live_environment
    from edgeform_device.subject import Subject

    found = options(arguments, {"pipeline": ""})
    env = live_environment(session)
    current = generations.current(env.disk, env.layout)
    if current is None:
        raise Refused("This device has no generation, so there is nothing to check.")
    content = generations.read(env.disk, env.layout, current)
    uses = [u for u in content.pipelines if found["pipeline"] in ("", u.name)]
    if not uses:
        raise Refused(f"Generation {current} has no pipeline {found['pipeline']!r:.80}.")
    results: List[CheckResult] = []
    for use in uses:
        subject = Subject(
            use=use,
            model_tree=env.layout.tree(use.model),
            socket_path=env.layout.socket(use.name),
            pid=env.services.health(use.name).pid,
        )
        results.extend(env.checks.run(subject))
    return {"generation": current, "checks": [r.to_json() for r in results]}


def transact(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Carry out the order that `activate` or `rollback` wrote; run detached."""
    from edgeform_device import transaction
    from edgeform_device.live import live_environment
    from edgeform_device.records import State

    found = options(arguments, {"transaction": ""}, ("resume",))
    env = live_environment(session)
    if found["resume"]:
        return _answer(transaction.resume(env))
    order = State(env.disk, env.layout).order()
    if order is None or order.transaction != found["transaction"]:
        raise Refused(f"There is no order {found['transaction']!r:.80} on this device.")
    return _answer(transaction.transact(env, order))


def guard(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Watch one transaction until it is finished; run detached."""
    from edgeform_device import guard as guarding
    from edgeform_device.live import live_environment

    found = options(arguments, {"transaction": ""})
    guarding.watch(live_environment(session), found["transaction"])
    return {"transaction": found["transaction"]}


def run(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Become the runtime of a pipeline."""
    import os

    from edgeform_device.run import run_argv

    if not arguments:
        raise Usage("`run` needs the name of a pipeline.")
    found = options(arguments[1:], {"generation": ""}, ("shadow",))
    process = run_argv(
        session.disk,
        session.layout,
        arguments[0],
        os.environ,
        generation=number(found["generation"], "generation") if found["generation"] else None,
        is_shadow=bool(found["shadow"]),
    )
    os.execve(process.arguments[0], process.arguments, process.environment)  # noqa: S606  it becomes it


def supervise(session: Session, arguments: List[str]) -> Dict[str, Any]:
    """Be the supervisor of this prefix until told to end."""
    from edgeform_device.boottime import BootClock
    from edgeform_device.supervise import Supervisor
    from edgeform_device.toolfile import tool_command

    options(arguments, {})
    who = session.identity()
    tool = tool_command(session.layout)
    Supervisor(session.layout, BootClock(who.root), tool).serve()
    return {}


def _answer(outcome: Optional["Outcome"]) -> Dict[str, Any]:
    if outcome is None:
        return {"outcome": None}
    return {"outcome": outcome.result, "reason": outcome.reason}
