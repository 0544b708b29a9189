"""`edgeform build`: make the variants that are not files of the registry, and lock them."""

import os
import sys
from pathlib import Path

import click

from edgeform.build.builders import Builders, builder_of, cache_folder
from edgeform.build.jobs import JobLimits
from edgeform.cli.cmd_publish import open_artifacts
from edgeform.cli.options import output_option, site_argument
from edgeform.cli.planning import load_site
from edgeform.cli.talking import paints, talk
from edgeform.cli.variant_building import (
    BUILT,
    CACHED,
    NEEDED,
    Outcome,
    VariantShop,
    Wishes,
    asked_of,
)
from edgeform.cli.workspace import Workspace, find_workspace
from edgeform.domain.artifacts import Lock
from edgeform.domain.quantities import parse_bytes
from edgeform.errors import Stale, UsageError, worst_of
from edgeform.lock.lockfile import lock_of, read, write
from edgeform.registry.open import registries_of
from edgeform.report.builds import as_html, as_json, as_text

HOUR_S = 3600.0


@click.command("build")
@site_argument
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--class", "hardware_class", metavar="CLASS", help="Only what this class may take.")
@click.option("--jobs", default=1, show_default=True, metavar="N", help="Variants at a time.")
@click.option("--explain", is_flag=True, help="Build nothing; say what would be built, and why.")
@click.option("--check", is_flag=True, help="Build nothing; exit 6 if something is to be built.")
@click.option(
    "--force-synthetic-calibration",
    "forces_synthetic",
    is_flag=True,
    help="Calibrate with invented data where the site says `synthetic`; the artifact will say so.",
)
@click.option(
    "--wheelhouse",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Take builders' wheels from this folder; ask no network.",
)
@click.option("--print-lock", metavar="BUILDER", help="Print a builder's requirements, and end.")
@click.option("--memory-limit", default="8GiB", show_default=True, help="Of one step.")
@click.option(
    "--time-limit", default=HOUR_S, show_default=True, metavar="SECONDS", help="Of one step."
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the report there."
)
@output_option("text", "json", "html", "jsonl")
def command(
    site: str | None,
    models: tuple[str, ...],
    hardware_class: str | None,
    jobs: int,
    explain: bool,
    check: bool,
    forces_synthetic: bool,
    wheelhouse: Path | None,
    print_lock: str | None,
    memory_limit: str,
    time_limit: float,
    out: Path | None,
    output: str,
) -> int:
    """Build variants by their recipes, prove them on held-out data, and write them into edgeform.lock.

    What was built from the same inputs before is taken from the store. A variant that does not pass its gate
    is built by the ladder's next rung; one that passes on none is refused, and the others go on.
    """
    if print_lock is not None:
        click.echo(builder_of(print_lock).lock, nl=False)
        return 0
    workspace = find_workspace(site)
    wishes = Wishes(
        jobs=jobs,
        limits=JobLimits(time_s=time_limit, memory_bytes=_bytes(memory_limit)),
        is_dry=explain or check,
        forces_synthetic=forces_synthetic,
    )
    lock = read(workspace.lock_file).checked()
    found = _outcomes(workspace, lock, models, hardware_class, wishes, wheelhouse, output)
    _show(found, output, out)
    needed = [o for o in found if o.state == NEEDED]
    if check and needed:
        raise Stale(
            f"{len(needed)} variants are to be built.", hint="Build them:\n    edgeform build"
        )
    if not wishes.is_dry:
        new = merged(lock, found)
        if new != lock:
            write(workspace.lock_file, new)
    errors = [o.error for o in found if o.error is not None]
    for error in errors:
        click.echo(error.rendered(), err=True)
    return worst_of(error.exit_code for error in errors)


def _outcomes(
    workspace: Workspace,
    lock: Lock,
    models: tuple[str, ...],
    hardware_class: str | None,
    wishes: Wishes,
    wheelhouse: Path | None,
    output: str,
) -> tuple[Outcome, ...]:
    with talk(output) as listener:
        site, _ = load_site(workspace, listener)
        asked = asked_of(site, models, hardware_class)
        if not asked:
            return ()
        artifacts = open_artifacts(workspace)
        builders = Builders(folder=cache_folder(os.environ), wheelhouse=wheelhouse)
        shop = VariantShop(
            site=site,
            site_dir=workspace.site_dir,
            lock=lock,
            registries=registries_of(site),
            artifacts=artifacts,
            builders=builders,
            work_dir=workspace.state_dir / "build",
            wishes=wishes,
            listener=listener,
        )
        return shop.outcomes(asked)


def merged(lock: Lock, found: tuple[Outcome, ...]) -> Lock:
    """The lock with what was built in place of what stood there for the same variants."""
    new = [o.locked for o in found if o.state in (BUILT, CACHED) and o.locked is not None]
    replaced = {(a.name, a.variant) for a in new}
    kept = [
        a
        for a in lock.artifacts
        if not (a.kind == "model" and a.derivation and (a.name, a.variant) in replaced)
    ]
    return lock_of(lock.sources, (*kept, *new))


def _show(found: tuple[Outcome, ...], output: str, out: Path | None) -> None:
    reports = tuple(_document(outcome) for outcome in found)
    match output:
        case "json":
            text = as_json(reports)
        case "html":
            text = as_html(reports)
        case "text":
            text = as_text(reports, colour=out is None and paints())
        case _:
            return
    if out is not None:
        out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


def _document(outcome: Outcome) -> dict[str, object]:
    """An outcome as the report's JSON has it."""
    return {
        "variant": outcome.asked.subject,
        "state": outcome.state,
        "derivation": outcome.derivation or None,
        "artifact": None if outcome.locked is None else outcome.locked.digest,
        "why": list(outcome.why),
        "error": None if outcome.error is None else outcome.error.detail,
        "report": dict(outcome.report) or None,
    }


def _bytes(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as exc:
        raise UsageError(f"--memory-limit {text!r}: {exc}.", hint="Write it as 8GiB.") from exc
