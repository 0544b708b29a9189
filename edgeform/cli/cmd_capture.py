"""`edgeform capture`: the recent frames of a pipeline, fetched because a person asked for them."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from edgeform.apply.device import DeviceClient, Refusal, shown
from edgeform.cli.asking import Missed, ask_each, call_the_roll, missed, split_words, tell
from edgeform.cli.opening import open_fleet
from edgeform.cli.options import output_option
from edgeform.cli.talking import talk
from edgeform.cli.workspace import who
from edgeform.domain.observed import Unreachability
from edgeform.domain.site import Device
from edgeform.errors import Corrupt, UsageError, worst_of
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table
from edgeform.transport.base import DeviceUnreachable
from edgeform_wire.capture import FILE_NAME, CaptureDamaged, Kept
from edgeform_wire.capture_reader import read

COLUMNS = (
    Column(title="DEVICE"),
    Column(title="PIPELINE"),
    Column(title="FILE"),
    Column(title="BYTES", right=True),
)
PIECE_S = 300.0
MAX_BYTES = 4 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A capture file on a device."""

    pipeline: str
    file: str
    size_bytes: int


@click.command("capture")
@click.argument("words", nargs=-1, required=True, metavar="[SITE] DEVICE")
@click.option(
    "-p", "--pipeline", metavar="NAME", help="Which pipeline; needed where there are several."
)
@click.option(
    "--list", "lists", is_flag=True, help="Show the captures on the device; fetch nothing."
)
@click.option("--file", "file", metavar="NAME", help="Fetch one that the device has made already.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Where to; never over a file."
)
@output_option("text", "json")
def command(
    words: tuple[str, ...],
    pipeline: str | None,
    lists: bool,
    file: str | None,
    out: Path | None,
    output: str,
) -> int:
    """Make a capture of a pipeline's recent frames on one device, and fetch it.

    A pipeline keeps frames only where its spec has `recording`, masked as that says, and a capture leaves
    the device only by this command. Look into it with `edgeform replay FILE`.
    """
    site, named = split_words(words)
    if not named:
        raise UsageError(
            "Which device? Captures hold pictures, so they are never fetched from all at once.",
            hint="edgeform capture DEVICE",
        )
    with talk() as listener, open_fleet() as transport:
        roll = call_the_roll(site, named, listener)
        if lists:
            answers = ask_each(roll, transport, lambda _, client: _listed(client, pipeline))
            return _show(answers, output)
        if len(roll.devices) != 1:
            raise UsageError(f"{len(roll.devices)} devices are meant; name one.")
        device = roll.devices[0]
        client = roll.client(transport, device)
        name = _pipeline_of(device, pipeline)
        if out is not None:
            _check_free(out)
        found = _wanted(client, name, file)
        if isinstance(found, Refusal):
            return worst_of(tell([missed(device.name, found)]))
        target = out or Path(f"{device.name}-{name}-{found.file}")
        frames = _fetch(client, found, target)
        if isinstance(frames, Refusal):
            return worst_of(tell([missed(device.name, frames)]))
    value = {"device": device.name, "answered": True, **_json(found), "path": str(target)}
    if output == "json":
        click.echo(line({**value, "frames": frames}))
    else:
        click.echo(f"{target}: {frames} frames of {device.name}/{name}, {found.size_bytes} bytes")
    return 0


def _json(found: Listed) -> dict[str, str | int]:
    return {"pipeline": found.pipeline, "file": found.file, "size_bytes": found.size_bytes}


def _pipeline_of(device: Device, wanted: str | None) -> str:
    names = [str(p.name) for p in device.pipelines]
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted not in names:
        raise UsageError(
            f"{device.name} has the pipelines {', '.join(names) or '(none)'}.",
            hint=f"edgeform capture {device.name} --pipeline NAME",
        )
    return wanted


def _wanted(client: DeviceClient, pipeline: str, file: str | None) -> Listed | Refusal:
    """The named file, or one that is made now."""
    if file is not None:
        listed = _listed(client, pipeline)
        if isinstance(listed, Refusal):
            return listed
        for one in listed:
            if one.file == file:
                return one
        known = "\n".join(f"    {one.file}" for one in listed[-5:])
        raise UsageError(
            f"{client.name} has no capture {file!r} of {pipeline}.",
            hint=f"It has:\n{known}" if known else "It has none.",
        )
    answer = client.ask("capture", "make", "--pipeline", pipeline, "--who", who(), timeout_s=90.0)
    return answer if isinstance(answer, Refusal) else _entry(client.name, answer)


def _listed(client: DeviceClient, pipeline: str | None) -> tuple[Listed, ...] | Refusal:
    options = ("--pipeline", pipeline) if pipeline else ()
    answer = client.ask("capture", "list", *options)
    if isinstance(answer, Refusal):
        return answer
    entries = answer.get("captures")
    return tuple(_entry(client.name, one) for one in (entries if isinstance(entries, list) else ()))


def _entry(device: str, value: Mapping[str, Any]) -> Listed:
    try:
        found = Listed(
            pipeline=shown(str(value["pipeline"])),
            file=str(value["file"]),
            size_bytes=int(value["size_bytes"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise _not_agreed(device, repr(exc)) from exc
    # It becomes part of a path here.
    if FILE_NAME.match(found.file) is None or not 0 <= found.size_bytes <= MAX_BYTES:
        raise _not_agreed(device, f"a capture called {found.file!r:.80}")
    return found


def _fetch(client: DeviceClient, found: Listed, target: Path) -> int | Refusal:
    """How many frames were fetched; the file is proven before it gets its name.

    Raises:
        UsageError: there is a file already. Corrupt: what arrived is damaged.
    """
    _check_free(target)
    part = target.with_name(target.name + ".part")
    try:
        with part.open("wb") as stream:
            while stream.tell() < found.size_bytes:
                piece = _piece(client, found, stream.tell())
                if isinstance(piece, Refusal):
                    return piece
                stream.write(piece)
        with part.open("rb") as stream:
            frames = sum(isinstance(record, Kept) for record in read(stream))
        part.rename(target)
    except CaptureDamaged as exc:
        raise Corrupt(
            f"The capture is damaged: {exc}.", address=f"{client.name}: {found.file}"
        ) from exc
    finally:
        part.unlink(missing_ok=True)
    return frames


def _check_free(target: Path) -> None:
    if target.exists():
        raise UsageError(f"{target} is there already.", hint="Give another name with --out.")


def _piece(client: DeviceClient, found: Listed, offset: int) -> bytes | Refusal:
    where = ("--pipeline", found.pipeline, "--file", found.file, "--offset", str(offset))
    answer = client.ask("capture", "read", *where, timeout_s=PIECE_S)
    if isinstance(answer, Refusal):
        return answer
    try:
        piece = base64.b64decode(str(answer["content"]), validate=True)
    except (KeyError, binascii.Error) as exc:
        raise _not_agreed(client.name, repr(exc)) from exc
    if not piece or offset + len(piece) > found.size_bytes:
        raise _not_agreed(client.name, "the file has another length than was said")
    return piece


def _not_agreed(device: str, detail: str) -> DeviceUnreachable:
    return DeviceUnreachable(
        device, Unreachability.PROTOCOL, f"capture: not of the agreed form ({detail:.200})"
    )


def _show(answers: list[tuple[Device, tuple[Listed, ...] | Missed]], output: str) -> int:
    codes = tell(answer for _, answer in answers if isinstance(answer, Missed))
    rows = []
    for device, answer in answers:
        if isinstance(answer, Missed):
            if output == "json":
                click.echo(line(answer.to_json()))
            continue
        for one in answer:
            rows.append((device.name, one.pipeline, one.file, str(one.size_bytes)))
            if output == "json":
                click.echo(line({"device": device.name, "answered": True, **_json(one)}))
    if output != "json":
        click.echo(table(COLUMNS, rows), nl=False)
    return worst_of(codes)
