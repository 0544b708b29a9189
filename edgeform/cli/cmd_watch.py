"""`edgeform watch`: what the pipelines of a site do now, again and again, until it is ended."""

import os
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor

import click

from edgeform.apply.device import DeviceClient, Refusal
from edgeform.cli.asking import Roll, call_the_roll, split_words
from edgeform.cli.fleet import SESSIONS
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.talking import talk
from edgeform.domain.site import Device
from edgeform.domain.watched import DeviceSeen, DeviceUnknown, Look, seen, unknown
from edgeform.errors import Incomplete, NeedsHands, worst_of
from edgeform.report.choose import Form, choose
from edgeform.report.watching import open_watching
from edgeform.transport.base import DeviceUnreachable, Transport

ANSWER_S = 15.0
POLL_S = 0.1
FORMS = {"text": None, "plain": Form.PLAIN, "jsonl": Form.JSONL}


@click.command("watch")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]...")
@select_option
@click.option(
    "--every", type=click.FloatRange(0.2, 3600.0), default=2.0, show_default=True, metavar="SECONDS"
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many rounds.")
@output_option("text", "plain", "jsonl")
def command(
    words: tuple[str, ...], selectors: tuple[str, ...], every: float, count: int | None, output: str
) -> int:
    """Follow what the pipelines of a site do: frames a second, times, drops, drift, temperature.

    Each device is asked once a round over the connection that is open; one that does not answer is shown
    as unknown, and since when. On a terminal a table is drawn over itself, elsewhere every round is a
    few lines. Ends with ctrl-C, or after --count rounds: then exit 9 if a device did not answer at last.
    """
    site, named = split_words(words)
    form = choose(FORMS[output], os.environ, is_terminal=sys.stdout.isatty())
    with talk() as listener, open_fleet() as transport:
        roll = call_the_roll(site, (*named, *selectors), listener)
        watcher = Watcher(roll, transport)
        watching = open_watching(form, sys.stdout)
        try:
            rounds = 0
            while count is None or rounds < count:
                began = time.monotonic()
                watching.show(watcher.round(every if rounds else max(every, ANSWER_S)))
                rounds += 1
                if count is None or rounds < count:
                    time.sleep(max(0.0, began + every - time.monotonic()))
        except KeyboardInterrupt:
            return 0
        finally:
            watching.close()
            watcher.close()
        return worst_of(_code(look) for look in watcher.looks())


def _code(look: Look) -> int:
    if isinstance(look, DeviceUnknown):
        return Incomplete.exit_code
    return NeedsHands.exit_code if look.needs_hands else 0


class Watcher:
    """Asks every device, each for itself: one that is slow holds nobody up and keeps its last look."""

    def __init__(self, roll: Roll, transport: Transport) -> None:
        self._roll, self._transport = roll, transport
        self._pool = ThreadPoolExecutor(max(1, min(SESSIONS, len(roll.devices))))
        self._asked: dict[str, Future[Look]] = {}
        self._looks: dict[str, Look] = {}

    def round(self, wait_s: float) -> tuple[Look, ...]:
        """The newest look of every device that was ever looked at, after waiting at most so long."""
        for device in self._roll.devices:
            if device.name not in self._asked:
                before = self._looks.get(device.name)
                self._asked[device.name] = self._pool.submit(self._look, device, before)
        until = time.monotonic() + wait_s
        while self._asked and time.monotonic() < until:
            self._gather()
            if self._asked:
                time.sleep(POLL_S / 5)
        self._gather()
        return self.looks()

    def looks(self) -> tuple[Look, ...]:
        names = [device.name for device in self._roll.devices]
        return tuple(self._looks[name] for name in names if name in self._looks)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _gather(self) -> None:
        for name, asked in tuple(self._asked.items()):
            if asked.done():
                self._looks[name] = asked.result()
                del self._asked[name]

    def _look(self, device: Device, before: Look | None) -> Look:
        client: DeviceClient = self._roll.client(self._transport, device)
        try:
            answer = client.ask("figures", timeout_s=ANSWER_S)
        except DeviceUnreachable as exc:
            return unknown(device.name, str(exc.reason), exc.detail, before, time.time())
        if isinstance(answer, Refusal):
            return unknown(device.name, answer.code, str(answer), before, time.time())
        found: DeviceSeen = seen(device.name, answer, before, time.time())
        return found
