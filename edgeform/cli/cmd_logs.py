"""`edgeform logs`: what pipelines wrote."""

from collections.abc import Callable
from typing import Any

import click

from edgeform.apply.device import DeviceClient, Refusal, shown
from edgeform.cli.asking import Missed, ask_each, call_the_roll, split_words, tell
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option, select_option
from edgeform.cli.talking import talk
from edgeform.domain.site import Device
from edgeform.errors import worst_of
from edgeform.report.json_lines import line

Lines = tuple[tuple[str, tuple[str, ...]], ...]
"""(pipeline, its lines)."""


@click.command("logs")
@click.argument("words", nargs=-1, metavar="[SITE] [DEVICE]...")
@select_option
@click.option("-p", "--pipeline", metavar="NAME", help="One pipeline; default: all of the device.")
@click.option(
    "-n", "--lines", type=click.IntRange(1, 5000), default=100, show_default=True, metavar="N"
)
@output_option("text", "json")
def command(
    words: tuple[str, ...],
    selectors: tuple[str, ...],
    pipeline: str | None,
    lines: int,
    output: str,
) -> int:
    """Show the last lines that pipelines wrote, the newest last."""
    site, named = split_words(words)
    with talk() as listener, open_fleet() as transport:
        roll = call_the_roll(site, (*named, *selectors), listener)
        answers = ask_each(roll, transport, _question(pipeline, lines))
    codes = tell(answer for _, answer in answers if isinstance(answer, Missed))
    found = [(d.name, a) for d, a in answers if not isinstance(a, Missed)]
    is_one = sum(len(answer) for _, answer in found) == 1
    for name, answer in found:
        for pipeline_name, text in answer:
            for entry in text:
                if output == "json":
                    value = {"device": name, "pipeline": pipeline_name, "line": entry}
                    click.echo(line(value))
                else:
                    click.echo(entry if is_one else f"{name}/{pipeline_name}: {entry}")
    return worst_of(codes)


def _question(
    pipeline: str | None, count: int
) -> Callable[[Device, DeviceClient], Lines | Refusal]:
    def ask(device: Device, client: DeviceClient) -> Lines | Refusal:
        found = []
        for name in (pipeline,) if pipeline else tuple(p.name for p in device.pipelines):
            answer = client.ask("logs", "--pipeline", name, "--lines", str(count))
            if isinstance(answer, Refusal):
                return answer
            found.append((name, _texts(answer.get("lines"))))
        return tuple(found)

    return ask


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(shown(str(text)) for text in value) if isinstance(value, list) else ()
