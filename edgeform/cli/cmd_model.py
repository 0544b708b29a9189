"""`edgeform model`: what a model file is, and models in and out of a site, with OMS signatures."""

import json
from pathlib import Path

import click

from edgeform.build.inspection.found import Inspected
from edgeform.build.inspection.look import everything_in, inspected
from edgeform.cli.bringing import Incoming, Outgoing, bring_in, give_out
from edgeform.cli.options import output_option
from edgeform.cli.workspace import find_workspace
from edgeform.errors import UsageError

REFUSED = 3
site_option = click.option("--site", help="The site's folder, if it is not the current one.")
file_type = click.Path(dir_okay=False, exists=True, path_type=Path)


@click.group("model")
def command() -> None:
    """Inspect model files, take them in and give them out.

    OMS signatures (OpenSSF Model Signing) say where a model came from. What devices install is signed by the
    site's own keys, whatever was signed before.
    """


@command.command("inspect")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@output_option("text", "json")
def inspect_command(path: Path, output: str) -> int:
    """Show what a file, or every file of a folder, is; nothing in it is run.

    Formats are told by content: ONNX, TFLite, OpenVINO IR, HEF, safetensors, GGUF; pickles, archives and
    libraries under any name. Exit 3 if something would be refused.
    """
    found = list(everything_in(path)) if path.is_dir() else [(path.name, inspected(path))]
    for name, value in found:
        click.echo(
            json.dumps(_value(name, value), sort_keys=True)
            if output == "json"
            else "\n".join(_lines(name, value))
        )
    return REFUSED if any(value.is_refused for _, value in found) else 0


@command.command("import")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("model", metavar="NAME@VERSION")
@click.option("--registry", help="A directory registry of the site; left out, the only one.")
@click.option("--oms-key", "keys", multiple=True, type=file_type, help="Public key (PEM) to trust.")
@click.option("--oms-identity", metavar="WHO", help="E-mail or URI that the certificate must name.")
@click.option("--oms-ca", type=file_type, help="The authority that may name WHO (PEM).")
@click.option("--signature", type=file_type, help="The signature; default: FOLDER/model.sig.")
@site_option
def import_command(
    folder: Path,
    model: str,
    registry: str | None,
    keys: tuple[Path, ...],
    oms_identity: str | None,
    oms_ca: Path | None,
    signature: Path | None,
    site: str | None,
) -> int:
    """Take the model in FOLDER into a directory registry of the site.

    It comes in whole or not at all. Every file is looked at, and what could run code is refused. With
    --oms-key, or --oms-identity and --oms-ca, the signature must hold for every file; there is no way to
    skip one that was asked for.
    """
    name, _, version = model.rpartition("@")
    if not name:
        raise UsageError("Name the version, too.", hint="Write NAME@VERSION, as digits@1.2.0")
    done = bring_in(
        find_workspace(site),
        Incoming(
            folder=folder,
            name=name,
            version=version,
            registry=registry,
            keys=tuple(key.read_bytes() for key in keys),
            identity=oms_identity,
            authority=oms_ca.read_bytes() if oms_ca is not None else None,
            signature=signature,
        ),
    )
    signed = f"signed by {done.by}" if done.by else "not signed"
    click.echo(f"{name} {version}: {done.files} files, {signed}, in {done.place}")
    return 0


@command.command("export")
@click.argument("model", metavar="MODEL")
@click.option("--variant", help="One of the model's variants; left out, the only one.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--oms", "key", type=file_type, help="Private key (PEM, EC) to sign with.")
@site_option
def export_command(
    model: str, variant: str | None, out: Path, key: Path | None, site: str | None
) -> int:
    """Write the locked files of MODEL into a new folder, signed with --oms.

    Every file is compared with its digest in the lock. The key's passphrase comes from
    EDGEFORM_OMS_PASSPHRASE, or from the file that EDGEFORM_OMS_PASSPHRASE_FILE names. Others check the
    signature with `model_signing verify key`.
    """
    wanted = Outgoing(model=model, variant=variant, out=out, key=key)
    done = give_out(find_workspace(site), wanted)
    click.echo(f"{model} {done.version}, variant {done.variant}: {done.files} files in {out}")
    return 0


def _value(name: str, found: Inspected) -> dict[str, object]:
    def tensors(listed: tuple[tuple[str, str, tuple[int, ...]], ...]) -> list[dict[str, object]]:
        return [{"name": n, "dtype": d, "shape": list(s)} for n, d, s in listed]

    return {
        "path": name,
        "format": found.format,
        "precision": found.precision,
        "opset": found.opset,
        "inputs": tensors(found.inputs),
        "outputs": tensors(found.outputs),
        "parameters": found.parameters,
        "external": list(found.external),
        "notes": dict(found.notes),
        "hazards": [{"what": h.what, "why": h.why, "refused": h.is_refused} for h in found.hazards],
    }


def _lines(name: str, found: Inspected) -> list[str]:
    lines = [f"{_clean(name)}: {found.format}"]
    for label, value in (
        ("precision", found.precision),
        ("opset", found.opset),
        ("parameters", f"{found.parameters:,}" if found.parameters is not None else None),
        ("external data", ", ".join(found.external) or None),
        *found.notes,
    ):
        if value is not None:
            lines.append(f"  {_clean(label)}: {_clean(value)}")
    for side, tensors in (("input", found.inputs), ("output", found.outputs)):
        for tensor, dtype, shape in tensors:
            extents = "x".join("?" if extent < 0 else str(extent) for extent in shape)
            lines.append(f"  {side}: {_clean(tensor)} {dtype} {extents or 'scalar'}")
    for hazard in found.hazards:
        word = "refused" if hazard.is_refused else "note"
        lines.append(f"  {word}: {_clean(hazard.what)}: {_clean(hazard.why)}")
    return lines


def _clean(text: str) -> str:
    """What a file says is data: a terminal must not obey it."""
    return "".join(c if c.isprintable() else "?" for c in text)[:300]
