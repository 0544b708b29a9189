"""From a site, its lock and what was seen on the devices to a plan. Pure: no I/O, no clock.

`resolve` says what every device should be, `make_plan` what would be done about it, `render` shows it,
`encode` and `decode` are the plan file. What is applied is decided elsewhere.
"""

from edgeform.plan.diff import Context, device_plan, make_plan
from edgeform.plan.groups import Group, groups
from edgeform.plan.order import Stages, stages
from edgeform.plan.plan import (
    Base,
    Blocked,
    Busy,
    Changed,
    DevicePlan,
    Held,
    Plan,
    Summary,
    Unchanged,
    Unreachable,
)
from edgeform.plan.planfile import decode, device_json, digest, digest_of_bytes, encode
from edgeform.plan.render import Line, Meaning, as_text, render, render_group, summary_line
from edgeform.plan.resolve import Resolution, SecretHmac, ShippedTool, no_secrets, resolve

__all__ = [
    "Base",
    "Blocked",
    "Busy",
    "Changed",
    "Context",
    "DevicePlan",
    "Group",
    "Held",
    "Line",
    "Meaning",
    "Plan",
    "Resolution",
    "SecretHmac",
    "ShippedTool",
    "Stages",
    "Summary",
    "Unchanged",
    "Unreachable",
    "as_text",
    "decode",
    "device_json",
    "device_plan",
    "digest",
    "digest_of_bytes",
    "encode",
    "groups",
    "make_plan",
    "no_secrets",
    "render",
    "render_group",
    "resolve",
    "stages",
    "summary_line",
]
