"""Runs the tool's own code in this process and ends it, by SIGKILL, at one step of its journal.

    python killed.py PYZ PREFIX STEP before|after|never transact|recover   (request as JSON on stdin)

Everything else is real: the guard and the supervisor it starts run from the PYZ.
"""

import io
import json
import os
import signal
import sys


def main(pyz, prefix, step, when, what):
    from edgeform_device import activate, backend, live, recovery, transaction
    from edgeform_device.journal import Journal
    from edgeform_device.records import State
    from edgeform_device.session import open_session

    tool = (sys.executable, "-I", "-S", "-B", pyz, "--prefix", prefix)
    live.tool_command = backend.tool_command = lambda layout: tool
    append = Journal.begin

    def begin(self, name, **details):
        if (name, when) == (step, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        append(self, name, **details)
        if (name, when) == (step, "after"):
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.begin = begin
    env = live.live_environment(open_session(prefix, "/", io.BytesIO()))
    if what == "recover":
        recovery.recover(env)
        return
    start = env.launcher.start

    def only_the_guard(unit, arguments, *, is_restarted):
        if arguments[0] != "transact":
            start(unit, arguments, is_restarted=is_restarted)

    env.launcher.start = only_the_guard
    activate.activate(env, activate.Request(**json.loads(sys.stdin.read())))
    transaction.transact(env, State(env.disk, env.layout).order())


if __name__ == "__main__":
    main(*sys.argv[1:])
