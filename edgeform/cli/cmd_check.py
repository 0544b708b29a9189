"""`edgeform check`: judge what is running now, as before a commit."""

from collections.abc import Callable

import click

from edgeform.apply.device import DeviceClient, Refusal, shown
from edgeform.cli.asking import Missed, ask_each, call_the_roll, split_words, tell
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.talking import talk
from edgeform.domain.observed import Unreachability
from edgeform.domain.site import Device
from edgeform.errors import CHANGES_PRESENT, worst_of
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table
from edgeform.transport.base import DeviceUnreachable
from edgeform_wire.receipt import CheckResult

TIMEOUT_S = 300.0
COLUMNS = tuple(Column(title=t) for t in ("DEVICE", "PIPELINE", "CHECK", "VERDICT", "DETAIL"))


@click.command("check")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]...")
@select_option
@click.option("-p", "--pipeline", metavar="NAME", help="One pipeline; default: all of the device.")
@output_option("text", "json")
def command(
    words: tuple[str, ...], selectors: tuple[str, ...], pipeline: str | None, output: str
) -> int:
    """Run the checks on what is running: golden inputs, latency, memory, the accelerator.

    The device's tool judges, not the runtime, and nothing is switched. Exit 2 if a check fails: the device
    is no longer what it proved to be when it was confirmed.
    """
    site, named = split_words(words)
    with talk() as listener, open_fleet() as transport:
        roll = call_the_roll(site, (*named, *selectors), listener)
        answers = ask_each(roll, transport, _question(pipeline))
    codes = tell(answer for _, answer in answers if isinstance(answer, Missed))
    rows = []
    for device, answer in answers:
        if isinstance(answer, Missed):
            if output == "json":
                click.echo(line(answer.to_json()))
            continue
        for check in answer:
            if check.verdict == "fail":
                codes.append(CHANGES_PRESENT)
            rows.append((device.name, check.pipeline, check.name, check.verdict, check.detail))
            if output == "json":
                click.echo(line({"device": device.name, "answered": True, **check.to_json()}))
    if output != "json":
        click.echo(table(COLUMNS, rows), nl=False)
    return worst_of(codes)


def _question(
    pipeline: str | None,
) -> Callable[[Device, DeviceClient], tuple[CheckResult, ...] | Refusal]:
    def ask(_device: Device, client: DeviceClient) -> tuple[CheckResult, ...] | Refusal:
        options = ("--pipeline", pipeline) if pipeline else ()
        answer = client.ask("check", *options, timeout_s=TIMEOUT_S)
        if isinstance(answer, Refusal):
            return answer
        try:
            return tuple(
                CheckResult(
                    name=shown(str(c["name"])),
                    pipeline=shown(str(c["pipeline"])),
                    verdict=shown(str(c["verdict"])),
                    detail=shown(str(c["detail"])),
                    measured=dict(c["measured"]),
                )
                for c in answer["checks"]
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise DeviceUnreachable(
                client.name,
                Unreachability.PROTOCOL,
                f"Its checks are not of the agreed form: {exc!r:.200}",
            ) from exc

    return ask
