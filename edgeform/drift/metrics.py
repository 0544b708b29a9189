"""What a drift run found, for Prometheus: the text of a file that node_exporter's textfile collector reads.

Form: prometheus.io "Exposition formats", text-based. Names and units after "Metric and label naming".
"""

from collections.abc import Iterable

from edgeform.drift.compare import Compared, Word

_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def textfile(site: str, found: Iterable[Compared], *, finished_s: float, untold: int = 0) -> str:
    """The whole file; every device has a line for every word, so that an alert can resolve.

    Args:
        finished_s: when the run ended, in seconds since 1970.
        untold: webhooks that did not take the message; nobody else would hear of those.
    """
    found = tuple(found)
    where = f'site="{site.translate(_ESCAPED)}"'
    lines = [
        "# HELP edgeform_drift_last_run_timestamp_seconds When devices were looked at last.",
        "# TYPE edgeform_drift_last_run_timestamp_seconds gauge",
        f"edgeform_drift_last_run_timestamp_seconds{{{where}}} {finished_s:.0f}",
        "# HELP edgeform_drift_untold_webhooks Webhooks that did not take the last run's message.",
        "# TYPE edgeform_drift_untold_webhooks gauge",
        f"edgeform_drift_untold_webhooks{{{where}}} {untold}",
        "# HELP edgeform_device_state 1 for each word that is true of a device.",
        "# TYPE edgeform_device_state gauge",
    ]
    for one in found:
        device = f'{where},device="{one.device.translate(_ESCAPED)}"'
        lines += [
            f'edgeform_device_state{{{device},state="{word}"}} {int(word in one.words)}'
            for word in Word
        ]
        lines.append(
            f'edgeform_device_state{{{device},state="needs_hands"}} {int(one.needs_hands)}'
        )
    lines += [
        "# HELP edgeform_drift_findings How many things differ from the confirmed generation.",
        "# TYPE edgeform_drift_findings gauge",
    ]
    lines += [
        f'edgeform_drift_findings{{{where},device="{one.device.translate(_ESCAPED)}"}}'
        f" {len(one.found)}"
        for one in found
    ]
    return "\n".join(lines) + "\n"
