"""`edgeform explain`: what a code means, where a device's value comes from, what the site's devices are."""

import json
from dataclasses import asdict, dataclass

import click

from edgeform.cli import egress_explained
from edgeform.cli.codes import code_of
from edgeform.cli.options import output_option, select_option
from edgeform.cli.workspace import Workspace, find_workspace
from edgeform.domain.artifacts import Model
from edgeform.domain.site import Device
from edgeform.errors import UsageError
from edgeform.lock.lockfile import read as read_lock
from edgeform.report.json_lines import line
from edgeform.spec.explain import code_text, rendered, value_of
from edgeform.spec.load import Loaded, load
from edgeform.spec.shape import nearest

FORMS = """One of these:
    edgeform explain EF1001
    edgeform explain device NAME [SITE] --path connect.host
    edgeform explain model NAME [SITE]
    edgeform explain inventory [SITE] --json
    edgeform explain egress [SITE] [-l SELECTOR]"""


@click.command("explain")
@click.argument(
    "words", nargs=-1, required=True, metavar="CODE | device NAME | model NAME | inventory | egress"
)
@click.option("--path", default="", metavar="PATH", help="Which part of the device; default: all.")
@select_option
@output_option("text", "json")
def command(words: tuple[str, ...], path: str, selectors: tuple[str, ...], output: str) -> int:
    """Tell what a diagnostic means, or where a value of a device was written.

    CODE: what it means, its usual cause, an example. device NAME: each value of it, the file and line it
    comes from, and what it hides. model NAME: its rule, its locked version, its variants. inventory: the
    devices for Ansible's plugin. egress: every destination, field and bytes a day that leave devices. A site
    may follow.
    """
    what, *rest = words
    if selectors and what != "egress":
        raise UsageError("-l goes with egress only.", hint=FORMS)
    match what:
        case "device" if 1 <= len(rest) <= 2:
            _device(_loaded(rest[1:]), rest[0], path, output)
        case "model" if 1 <= len(rest) <= 2:
            _model(rest[0], rest[1:], output)
        case "inventory" if len(rest) <= 1:
            _inventory(_loaded(rest), output)
        case "egress" if len(rest) <= 1:
            egress_explained.tell(_loaded(rest).checked(), selectors, output)
        case "device" | "model" | "inventory" | "egress":
            raise UsageError("That is not a question.", hint=FORMS)
        case _:
            for name in words:
                found = code_of(name)
                click.echo(line(asdict(found)) if output == "json" else code_text(found))
    return 0


def _workspace(site: list[str]) -> Workspace:
    return find_workspace(site[0] if site else None)


def _loaded(site: list[str]) -> Loaded:
    return load(_workspace(site).site_dir)


def _device(loaded: Loaded, name: str, path: str, output: str) -> None:
    # A site with errors can still be asked about: that is when one asks.
    for found in value_of(loaded, name, path):
        if output == "json":
            click.echo(json.dumps(asdict(found), sort_keys=True, ensure_ascii=False))
        else:
            click.echo(rendered(found))


def _model(name: str, site: list[str], output: str) -> None:
    workspace = _workspace(site)
    found = load(workspace.site_dir).checked()
    model = next((m for m in found.models if m.name == name), None)
    if model is None:
        known = [m.name for m in found.models]
        raise UsageError(f"The site has no model {name!r}.", hint=nearest(name, known))
    lock = read_lock(workspace.lock_file).checked() if workspace.lock_file.exists() else None
    version = lock.version_of(name) if lock else None
    built = {
        a.variant: a
        for a in (lock.artifacts if lock else ())
        if a.kind == "model" and a.name == name and a.version == version
    }
    if output == "json":
        value = asdict(model) | {"locked": version}
        click.echo(line(value | {"artifacts": {v: a.digest for v, a in built.items()}}))
        return
    click.echo(_model_head(model, version))
    for variant in model.variants:
        artifact = built.get(variant.name)
        click.echo(
            f"  {variant.name}: {variant.engine}, {variant.precision}, accelerators"
            f" {', '.join(variant.accelerators)}; "
            + (f"{artifact.digest}, {artifact.size_bytes} bytes" if artifact else "not built")
        )


def _model_head(model: Model, version: str | None) -> str:
    locked = f"locked at {version}" if version else "not locked"
    return f"{model.name}: {model.rule} {model.wanted} of registry {model.registry}, {locked}"


def _inventory(loaded: Loaded, output: str) -> None:
    hosts = [_host(device) for device in loaded.checked().devices]
    if output == "json":
        click.echo(json.dumps({"hosts": [asdict(host) for host in hosts]}, sort_keys=True))
        return
    for host in hosts:
        click.echo(f"{host.name}: {', '.join(host.groups)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A device as the inventory plugin reads it."""

    name: str
    groups: tuple[str, ...]
    variables: dict[str, str | int | bool]


def _host(device: Device) -> Host:
    """As Ansible wants it; group names take letters, digits and `_` only. No secret is resolved."""
    connect = device.connect
    variables: dict[str, str | int | bool] = {
        "ansible_host": connect.host or device.name,
        "ansible_port": connect.port,
        "ansible_become": connect.become == "sudo",
        "edgeform_device": device.name,
        "edgeform_class": device.hardware.name,
        "edgeform_prefix": device.prefix,
    }
    if connect.user:
        variables["ansible_user"] = connect.user
    if connect.key_file:
        variables["ansible_ssh_private_key_file"] = connect.key_file
    if connect.mode == "local":
        variables["ansible_connection"] = "local"
    groups = [f"class_{name}" for name in device.hardware.lineage]
    groups += [f"{key}_{value}" for key, value in device.labels]
    return Host(
        name=device.name,
        groups=tuple(sorted({_group(name) for name in groups})),
        variables=variables,
    )


def _group(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text)
