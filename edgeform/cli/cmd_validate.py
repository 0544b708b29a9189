"""`edgeform validate`: every problem of a site at once."""

import json

import click

from edgeform.cli.options import SITE_DOCUMENTS, output_option, site_argument
from edgeform.cli.workspace import find_workspace
from edgeform.diagnostics import Diagnostic, has_errors, rendered
from edgeform.domain.quantities import show_count
from edgeform.errors import SpecInvalid
from edgeform.report.documents import site_document
from edgeform.spec.load import load


@click.command("validate")
@site_argument
@output_option("text", "json", *SITE_DOCUMENTS)
def command(site: str | None, output: str) -> int:
    """Check a site without looking at any device, and show every problem at once."""
    workspace = find_workspace(site)
    loaded = load(workspace.site_dir)
    if output == "json":
        for diagnostic in loaded.diagnostics:
            click.echo(json.dumps(_json(diagnostic), sort_keys=True))
        return 3 if has_errors(loaded.diagnostics) else 0
    if output in SITE_DOCUMENTS:
        whole = (workspace.site_dir / "site.yaml").as_posix()
        click.echo(site_document(loaded.diagnostics, output, whole=whole), nl=False)
        return 3 if has_errors(loaded.diagnostics) else 0
    if has_errors(loaded.diagnostics):
        raise SpecInvalid(loaded.diagnostics)
    for diagnostic in loaded.diagnostics:
        click.echo(rendered(diagnostic), err=True)
    found = loaded.checked()
    click.echo(
        f"{found.name}: {show_count(len(found.devices), 'device')},"
        f" {show_count(len(found.classes), 'class')}, {show_count(len(found.models), 'model')}"
        f" in {show_count(len(loaded.files), 'file')}; no errors"
    )
    return 0


def _json(diagnostic: Diagnostic) -> dict[str, object]:
    place = diagnostic.source.position if diagnostic.source else None
    return {
        "code": diagnostic.code,
        "severity": str(diagnostic.severity),
        "summary": diagnostic.summary,
        "detail": diagnostic.detail,
        "address": diagnostic.address,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "hint": diagnostic.hint,
    }
