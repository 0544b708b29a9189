"""`edgeform explain egress`: every destination, field and bytes per day that leave a site's devices."""

from collections.abc import Sequence

import click

from edgeform.domain.egress import Flow, flows_of
from edgeform.domain.quantities import show_bytes
from edgeform.domain.site import Site
from edgeform.report.json_lines import line
from edgeform.report.tables import Column, table
from edgeform.spec.selector import select

COLUMNS = (
    Column(title="device"),
    Column(title="pipeline"),
    Column(title="by"),
    Column(title="to"),
    Column(title="protected"),
    Column(title="at most a day", right=True),
    Column(title="fields"),
)
UNBOUNDED = "not bounded"


def tell(site: Site, selectors: Sequence[str], output: str) -> None:
    """Print it: a table with the policy above and the sum below, or one JSON line for each flow."""
    devices = select(site, selectors)
    flows = [flow for device in devices for flow in flows_of(device, site.name)]
    if output == "json":
        for flow in flows:
            click.echo(line(_json(flow)))
        return
    click.echo(f"egress: {site.egress}")
    click.echo(table(COLUMNS, map(_row, flows)), nl=False)
    sums = [flow.bytes_per_day for flow in flows]
    bounded = sum(size for size in sums if size is not None)
    more = f", and {sums.count(None)} that nothing in the site bounds" if None in sums else ""
    click.echo(
        f"{len(devices)} devices: at most {show_bytes(bounded)} a day of payload{more}.", err=True
    )


def _row(flow: Flow) -> tuple[str, ...]:
    fields = ", ".join(flow.fields)
    if flow.left_out:
        fields += f"; kept here: {', '.join(flow.left_out)}"
    size = flow.bytes_per_day
    return (
        flow.device,
        flow.pipeline or "-",
        flow.via,
        flow.destination,
        flow.protection,
        UNBOUNDED if size is None else show_bytes(size),
        fields,
    )


def _json(flow: Flow) -> dict[str, object]:
    return {
        "device": flow.device,
        "pipeline": flow.pipeline,
        "via": flow.via,
        "destination": flow.destination,
        "protection": flow.protection,
        "fields": list(flow.fields),
        "left_out": list(flow.left_out),
        "messages_per_day": flow.messages_per_day,
        "message_bytes": flow.message_bytes,
        "bytes_per_day": flow.bytes_per_day,
    }
