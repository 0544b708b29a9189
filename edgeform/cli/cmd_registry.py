"""`edgeform registry`: look into the registries of a site, and fetch a version to look at it."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from edgeform.cli.options import output_option
from edgeform.cli.planning import load_site
from edgeform.cli.registries import open_registries
from edgeform.cli.talking import talk
from edgeform.cli.workspace import find_workspace
from edgeform.domain.artifacts import VersionRule
from edgeform.domain.quantities import show_bytes
from edgeform.domain.site import Site
from edgeform.errors import UsageError
from edgeform.registry.base import Known, Listing, Registry, ResolvedVersion, fetch
from edgeform.spec.shape import nearest

site_option = click.option("--site", help="The site's folder, if it is not the current one.")
model_argument = click.argument("model", metavar="MODEL")
CHANNELS = ("latest", "latest-approved")


@click.group("registry")
def command() -> None:
    """Look into the site's registries. Nothing is locked or installed by looking.

    A version is named as exact, alias, range or channel: `digits@1.2.0`, `digits@stable`, `digits@^1.2`,
    `digits@latest-approved`.
    """


@command.command("ls")
@click.argument("registry", required=False)
@site_option
@output_option("text", "json")
def ls_command(registry: str | None, site: str | None, output: str) -> int:
    """List the site's registries, or the models of one."""
    with _open(site) as (found, opened):
        if registry is None:
            for ref in found.registries:
                kind = type(ref).__name__.removesuffix("Ref").lower()
                _say(output, {"registry": ref.name, "kind": kind}, f"{ref.name}\t{kind}")
            return 0
        for model in _one(opened, registry).models():
            _say(output, {"registry": registry, "model": model}, model)
    return 0


@command.command("show")
@click.argument("registry")
@model_argument
@site_option
@output_option("text", "json")
def show_command(registry: str, model: str, site: str | None, output: str) -> int:
    """Show a model's versions, or the files of one: MODEL or MODEL@VERSION."""
    name, _, wanted = model.partition("@")
    with _open(site) as (_, opened):
        chosen = _one(opened, registry)
        if wanted:
            _show_files(_resolved(chosen, name, wanted), output)
        else:
            _show_versions(chosen.listing(name), output)
    return 0


@command.command("pull")
@click.argument("registry")
@model_argument
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder that is not there yet.",
)
@site_option
def pull_command(registry: str, model: str, out: Path, site: str | None) -> int:
    """Fetch MODEL@VERSION into a new folder, every byte compared."""
    name, _, wanted = model.partition("@")
    if not wanted:
        raise UsageError(
            "Which version?",
            hint=f"Name it, as\n    edgeform registry pull {registry} {name}@latest --out DIR",
        )
    if out.exists():
        raise UsageError(f"{out} is there already.", hint="Name a folder that is not.")
    arriving = out.with_name(f".{out.name}.{os.getpid()}.part")
    with _open(site) as (_, opened):
        chosen = _one(opened, registry)
        resolved = _resolved(chosen, name, wanted)
        fetch(chosen, resolved, arriving)
    arriving.rename(out)
    click.echo(f"{name} {resolved.version}: {show_bytes(resolved.size_bytes)} in {out}")
    return 0


@contextmanager
def _open(site: str | None) -> Iterator[tuple[Site, Mapping[str, Registry]]]:
    workspace = find_workspace(site)
    with talk() as listener:
        found, _ = load_site(workspace, listener)
    with open_registries(workspace, found) as opened:
        yield found, opened


def _one(opened: Mapping[str, Registry], name: str) -> Registry:
    if name not in opened:
        known = f"There are: {', '.join(opened)}." if opened else "It has none."
        raise UsageError(f"The site has no registry {name!r}.", hint=nearest(name, opened) or known)
    return opened[name]


def _resolved(registry: Registry, name: str, wanted: str) -> ResolvedVersion:
    if wanted.startswith("sha256:"):
        return registry.resolve(name, VersionRule.DIGEST, wanted)
    if wanted in CHANNELS:
        return registry.resolve(name, VersionRule.CHANNEL, wanted)
    if wanted[0] in "^~<>=*":
        return registry.resolve(name, VersionRule.SEMVER, wanted)
    if wanted.startswith("sha256-"):  # what has no other name than its digest is in no listing
        return registry.resolve(name, VersionRule.EXACT, wanted)
    listing = registry.listing(name)
    if wanted in dict(listing.aliases) and wanted not in listing.names():
        return registry.resolve(name, VersionRule.ALIAS, wanted)
    return registry.resolve(name, VersionRule.EXACT, wanted)


def _show_files(resolved: ResolvedVersion, output: str) -> None:
    for file in resolved.files:
        value = {"path": file.path, "size_bytes": file.size_bytes, "digest": file.digest}
        _say(output, value, f"{file.digest}  {show_bytes(file.size_bytes):>10}  {file.path}")
    click.echo(f"{resolved.source} {resolved.version}: {resolved.digest}", err=True)


def _show_versions(listing: Listing, output: str) -> None:
    for known in listing.versions:
        aliases = [alias for alias, version in listing.aliases if version == known.name]
        value = {
            "version": known.name,
            "semver": known.semver or None,
            "released": known.is_released,
            "approved": known.is_approved,
            "aliases": aliases,
        }
        _say(output, value, _line(known, aliases))


def _line(known: Known, aliases: list[str]) -> str:
    notes = [known.semver] if known.semver not in ("", known.name) else []
    notes += {True: ["approved"], False: ["not approved"], None: []}[known.is_approved]
    notes += [] if known.is_released else ["pre-release"]
    notes += [f"@{alias}" for alias in aliases]
    return f"{known.name}\t{', '.join(notes)}".rstrip()


def _say(output: str, value: Mapping[str, object], text: str) -> None:
    click.echo(json.dumps(value, sort_keys=True) if output == "json" else text)
