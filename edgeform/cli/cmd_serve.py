"""`edgeform serve`: the fleet's page, live and read-only, on this machine or behind a token."""

import os
import secrets
import socket
import sys
from importlib import import_module
from pathlib import Path

import click

from edgeform.cli.live_fleet import LiveFleet
from edgeform.cli.options import select_option, site_argument
from edgeform.cli.planning import open_resolver
from edgeform.cli.workspace import Workspace, find_workspace, stamp
from edgeform.errors import UsageError
from edgeform.report.clean import one_line
from edgeform.secrets.references import parse_reference
from edgeform.serve.guard import Guard, is_loopback

PORT = 8421
CLOSE_S = 5.0


@click.command("serve")
@site_argument
@select_option
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="0: any free one.",
)
@click.option(
    "--every",
    type=click.IntRange(5),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="From the end of one look at the devices to the next.",
)
@click.option("--offline", is_flag=True, help="Ask no device; show what is archived here.")
@click.option(
    "--token",
    "reference",
    metavar="REFERENCE",
    help="Where the token is, as in env/NAME; else one is made for this run, and shown on a terminal only.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="A name this server is called by, beside localhost and addresses in digits.",
)
@click.option(
    "--tls-cert",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE.pem",
    help="Serve https with this certificate, its chain included.",
)
@click.option(
    "--tls-key",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE.pem",
    help="The certificate's key.",
)
def command(
    site: str | None,
    selectors: tuple[str, ...],
    address: str,
    port: int,
    every: int,
    offline: bool,
    reference: str | None,
    names: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
) -> int:
    """Show the page of `edgeform report` live: it looks at the devices now and then, and changes nothing.

    Only this machine can reach it, unless --address says otherwise; then a token is asked for. It ends
    with SIGTERM or Ctrl-C, exit 0.
    """
    _demand_extra()
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("A certificate and its key belong together: --tls-cert and --tls-key.")
    workspace = find_workspace(site)
    token = _token(workspace, reference, address)
    guard = Guard(names=frozenset(name.lower() for name in names), token=token)
    # Imported only now: they need the extra.
    from edgeform.serve.app import application  # noqa: PLC0415
    from edgeform.serve.keeper import Keeper  # noqa: PLC0415
    from edgeform.serve.listen import Ending, Tls, bound, listening  # noqa: PLC0415

    place = bound(address, port)
    end = Ending()
    try:
        keeper = Keeper(
            LiveFleet(workspace, selectors),
            every_s=None if offline else float(every),
            said=_said,
            ended=end.ask,
        )
        tls = Tls(certificate=str(tls_cert), key=str(tls_key)) if tls_cert else None
        app = application(keeper, guard, said=_said, is_tls=tls is not None)
        with listening(app, place, tls=tls, end=end) as wait:
            keeper.start()
            _tell(place, is_tls=tls is not None, is_guarded=bool(token))
            wait()
        has_ended = keeper.close(wait_s=CLOSE_S)
    finally:
        place.close()
    if keeper.failed is not None:
        raise keeper.failed
    _said("ended")
    if not has_ended:
        sys.stdout.flush()
        os._exit(
            0
        )  # Python would wait for the thread that waits for a device; nothing is written by it
    return 0


def _demand_extra() -> None:
    try:
        for module in ("starlette", "uvicorn"):
            import_module(module)
    except ImportError as exc:
        raise UsageError(
            f"Serving pages needs {exc.name}, which is not installed.",
            hint="It is an extra:\n    pip install 'edgeform[serve]'\n"
            "The same page as a file needs nothing:\n    edgeform report --out fleet.html",
        ) from exc


def _token(workspace: Workspace, reference: str | None, address: str) -> str:
    """The token; empty where none is needed.

    Raises:
        UsageError: others could reach the address, and no token was named.
    """
    if reference is not None:
        return (
            open_resolver(workspace).resolve(parse_reference(reference)).reveal().decode().strip()
        )
    if is_loopback(address):
        return ""
    if not sys.stderr.isatty():
        raise UsageError(
            f"Others can reach {address}, so a token is needed.",
            hint="Name where it is:\n    openssl rand -hex 24 > token && chmod 600 token\n"
            f'    EDGEFORM_SERVE_TOKEN="$(cat token)" edgeform serve {workspace.site_dir}'
            f" --address {address} --token env/EDGEFORM_SERVE_TOKEN",
        )
    made = secrets.token_urlsafe(24)
    click.echo(f"token for this run, shown to you alone: {made}", err=True)
    return made


def _tell(place: socket.socket, *, is_tls: bool, is_guarded: bool) -> None:
    address, port = place.getsockname()[:2]
    host = f"[{address}]" if ":" in address else address
    click.echo(f"{'https' if is_tls else 'http'}://{host}:{port}/")
    sys.stdout.flush()
    if is_guarded and not is_tls and not is_loopback(address):
        _said("the token crosses the network readable: put https before it, or give --tls-cert")


def _said(text: str) -> None:
    """A line with its time on standard error, harmless whatever is in it."""
    for line in text.splitlines():
        click.echo(f"{stamp()}  {one_line(line)}", err=True)
