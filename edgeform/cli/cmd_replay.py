"""`edgeform replay`: run the frames of a capture again here, and show what differs."""

import datetime as dt
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from edgeform.build.replay import Answer, Compared, Verdict, compare, recorded, rerun
from edgeform.cli.options import output_option
from edgeform.cli.replaying import Staged, named_model, recorded_model, stage
from edgeform.cli.workspace import find_workspace
from edgeform.errors import CHANGES_PRESENT, Corrupt, OutsideFailed, UsageError
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table
from edgeform.store.artifacts import Artifacts
from edgeform.store.objects import Objects
from edgeform_wire.capture import About, CaptureDamaged, Kept, Model, Record
from edgeform_wire.capture_reader import read

COLUMNS = (
    Column(title="FRAME", right=True),
    Column(title="NAME"),
    Column(title="VERDICT"),
    Column(title="RECORDED"),
    Column(title="HERE"),
    Column(title="DEVIATION", right=True),
    Column(title="INPUT"),
)
BAD = (Verdict.DIFFERENT, Verdict.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Frames in a row that one model answered."""

    model: Model
    frames: tuple[Kept, ...]


@click.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--site", metavar="SITE", help="Whose store has the models; default: this folder.")
@click.option(
    "--against",
    metavar="VARIANT",
    help="Answer with this variant instead: NAME or MODEL@VERSION/NAME.",
)
@click.option("--exact", is_flag=True, help="Count every bit: close is different, too.")
@output_option("text", "json")
def command(file: Path, site: str | None, against: str | None, exact: bool, output: str) -> int:
    """Run the frames of a capture again in the real runtime here, and compare with what was recorded.

    The model comes from the site's store by its digest, the runtime is the recorded closure where this
    machine can run it. Masked frames were answered before they were masked: without --against their
    recorded answers cannot be had again, and they are shown as masked. Exit 2 if an answer differs.
    """
    about, groups = _opened(file)
    artifacts = Artifacts(Objects(find_workspace(site).store_dir))
    if output != "json":
        click.echo(_head(file, about, groups), err=True)
    rows: list[tuple[str, ...]] = []
    verdicts: list[Verdict] = []
    for group in groups:
        for frame, then, now, found in _replayed(artifacts, group, against, output):
            verdict = found.verdict
            verdicts.append(Verdict.DIFFERENT if exact and verdict is Verdict.CLOSE else verdict)
            rows.append(_row(len(rows), frame, then, now, found))
            if output == "json":
                click.echo(line(_json(len(rows) - 1, about, group.model, frame, now, found)))
    if output != "json":
        click.echo(table(COLUMNS, rows), nl=False)
        click.echo(_counted(verdicts), err=True)
    return CHANGES_PRESENT if any(v in BAD for v in verdicts) else 0


def _opened(file: Path) -> tuple[About, tuple[Group, ...]]:
    try:
        with file.open("rb") as stream:
            records = list(read(stream))
    except CaptureDamaged as exc:
        raise Corrupt(
            f"The capture is damaged: {exc}.",
            address=str(file),
            hint="Fetch it again; on the device it is proven before it leaves:\n    edgeform capture DEVICE",
        ) from exc
    except OSError as exc:
        raise OutsideFailed(f"It cannot be read: {exc.strerror}.", address=str(file)) from exc
    about = records[0]
    if not isinstance(about, About):  # the reader has proven it
        raise Corrupt("The capture does not say whose it is.", address=str(file))
    groups = tuple(_grouped(records[1:]))
    if not groups:
        raise UsageError("The capture has no frames.")
    return about, groups


def _grouped(records: Sequence[Record]) -> Iterator[Group]:
    model: Model | None = None
    frames: list[Kept] = []
    for record in records:
        if isinstance(record, Kept):
            frames.append(record)
            continue
        if model is not None and frames:
            yield Group(model=model, frames=tuple(frames))
        model, frames = (record if isinstance(record, Model) else model), []
    if model is not None and frames:
        yield Group(model=model, frames=tuple(frames))


def _replayed(
    artifacts: Artifacts, group: Group, against: str | None, output: str
) -> Iterator[tuple[Kept, Answer, Answer, Compared]]:
    """(frame, answer to hold against, answer here, difference) of every frame of a group."""
    model, frames = group.model, group.frames
    own = recorded_model(artifacts, model)
    with tempfile.TemporaryDirectory(prefix="edgeform-replay-") as work:
        if against is not None:
            wanted = named_model(artifacts, against, model)
        elif own is None:
            raise UsageError(
                f"The store has no model {model.model_ref} ({(model.model_digest or 'no digest')[:19]}).",
                hint="Bring it here, or name another:\n    edgeform store pull REMOTE\n"
                "    edgeform replay FILE --against VARIANT",
            )
        else:
            wanted = own
        staged = stage(artifacts, wanted, model, Path(work, "now"))
        if output != "json":
            click.echo(_said(group, staged), err=True)
        then = [recorded(frame) for frame in frames]
        is_same = wanted.digest == model.model_digest
        if not is_same and any(frame.is_masked for frame in frames) and own is not None:
            # Both answer the frame as it is now, so that they can be compared at all.
            again = list(
                rerun(stage(artifacts, own, model, Path(work, "then")).subject, model, frames)
            )
            then = [a if f.is_masked else t for f, t, a in zip(frames, then, again, strict=True)]
        for frame, before, now in zip(
            frames, then, rerun(staged.subject, model, frames), strict=True
        ):
            found = compare(before, now, precision=staged.subject.precision, is_same_model=is_same)
            if frame.is_masked and (is_same or own is None) and found.verdict is not Verdict.FAILED:
                found = Compared(
                    verdict=Verdict.MASKED,
                    is_result_same=found.is_result_same,
                    is_input_same=None,
                    detail="the recorded answer is to the frame before it was masked",
                )
            yield frame, before, now, found


def _head(file: Path, about: About, groups: Sequence[Group]) -> str:
    made = dt.datetime.fromtimestamp(about.made_at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    frames = sum(len(group.frames) for group in groups)
    masks = f", masked: {', '.join(sorted(about.masks))}" if about.masks else ""
    why = about.reason if not about.detail else f"{about.reason} ({about.detail})"
    return (
        f"{file.name}: {about.site}/{about.device}/{about.pipeline}, {frames} frames{masks}\n"
        f"  made {made} by the device's clock, because of: {why}"
    )


def _said(group: Group, staged: Staged) -> str:
    model = group.model
    provider = model.effective.get("provider")
    return (
        f"  recorded: {model.model_ref}, generation {model.generation}, {model.engine} {model.engine_version}"
        f" on {provider}\n"
        f"  here: {staged.name} in {staged.runtime}"
    )


def _row(number: int, frame: Kept, then: Answer, now: Answer, found: Compared) -> tuple[str, ...]:
    deviation = "-" if found.max_relative is None else f"{found.max_relative:.1e}"
    same = {True: "same", False: "differs", None: "-"}[found.is_input_same]
    return (
        str(number),
        frame.name,
        str(found.verdict),
        _short(then.result),
        now.error or _short(now.result),
        "0" if found.max_relative == 0.0 else deviation,
        same,
    )


def _short(result: Any) -> str:
    """A result in a few words: the best thing in it with its score, or its number."""
    if not isinstance(result, dict):
        return "-"
    for name in ("classes", "detections", "entities"):
        things = result.get(name)
        if isinstance(things, list):
            best = things[0] if things and isinstance(things[0], dict) else None
            if best is None:
                return f"no {name}"
            more = f" +{len(things) - 1}" if name != "classes" and len(things) > 1 else ""
            return f"{best.get('label')} {best.get('score')}{more}"
    return " ".join(f"{k}={v}" for k, v in sorted(result.items()) if k != "kind")[:60] or "-"


def _json(
    number: int, about: About, model: Model, frame: Kept, now: Answer, found: Compared
) -> dict[str, Any]:
    return {
        "schema": "edgeform.replay/1",
        "device": about.device,
        "pipeline": about.pipeline,
        "model_ref": model.model_ref,
        "generation": model.generation,
        "frame": number,
        "name": frame.name,
        "sequence": frame.sequence,
        "captured_at": frame.captured_at,
        "recorded": frame.result,
        "here": now.result,
        **asdict(found),
        "verdict": str(found.verdict),
    }


def _counted(verdicts: Sequence[Verdict]) -> str:
    parts = [f"{verdicts.count(v)} {v}" for v in Verdict if v in verdicts]
    return f"{len(verdicts)} frames: " + ", ".join(parts)
