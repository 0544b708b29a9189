"""A plan as the text of one sticky comment: devices with the same diff told once, never too long.

GitHub refuses a comment of more than 65,536 characters, and tools that find out at that moment lose the
whole plan. So whole groups are left out, counted, and the reader is told where the rest is. Everything a
device or a plan file says stands in a code fence that it cannot close.
"""

import html
import re

from edgeform.plan import Group, Plan, groups, render_group, summary_line
from edgeform.report.clean import one_line

LIMIT = 65_000
"""Bytes of UTF-8, so that it holds however a service counts; GitHub's limit is 65,536 characters."""
RESERVED = 1_500
"""For what is said about the groups that did not fit."""
NAMED = 20

_DIFF = re.compile(r"^ {4}(?=[-+~!^] )")
"""A change loses its indentation: in a `diff` block colour goes by the first character."""
_FENCE = re.compile(r"`{3,}")


def marker(site: str) -> str:
    """The first line of a comment: how the next run finds it again."""
    return f"<!-- edgeform:plan:{re.sub('[^A-Za-z0-9._-]', '_', site)[:80]} -->"


def markdown(plan: Plan, *, rest: str = "edgeform plan show plan.json") -> str:
    """The plan as Markdown, at most LIMIT bytes.

    Args:
        rest: where somebody finds what did not fit: a command, or an address.
    """
    head = "\n".join(
        (
            marker(plan.site),
            f"### edgeform plan: {_inline(plan.site)}",
            "",
            f"**{_inline(summary_line(plan).removeprefix('Plan: '))}**",
            "",
            f"Made {_inline(plan.created_at)} by {_inline(plan.made_by)}"
            + (f", devices {_inline(plan.selector)}" if plan.selector else "")
            + f", spec {_inline(plan.spec_digest[7:19])}, lock {_inline(plan.lock_digest[7:19])}.",
            "",
        )
    )
    size = len(_bytes(head)) + RESERVED
    shown: list[str] = []
    left: list[Group] = []
    for group in groups(plan):
        text = _group(group)
        if size + len(_bytes(text)) > LIMIT:
            left.append(group)
            continue
        shown.append(text)
        size += len(_bytes(text))
    return head + "".join(shown) + (_left_out(left, rest) if left else "")


def _group(group: Group) -> str:
    first, *lines = (one_line_keeping(line.text) for line in render_group(group))
    body = "\n".join(_DIFF.sub("", line) for line in lines)
    summary = html.escape(first)
    if not body.strip():
        return f"\n- {_inline(first)}\n"
    fence = "`" * max(3, *(len(run) + 1 for run in _FENCE.findall(body)), 3)
    return (
        f"\n<details><summary><code>{summary}</code></summary>\n\n"
        f"{fence}diff\n{body}\n{fence}\n\n</details>\n"
    )


def one_line_keeping(text: str) -> str:
    """The text harmless and on one line, its indentation kept."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    return indent + one_line(text)


def _left_out(left: list[Group], rest: str) -> str:
    devices = sum(len(group.devices) for group in left)
    names = ", ".join(group.label for group in left[:NAMED])
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    groups_said = "1 group" if len(left) == 1 else f"{len(left)} groups"
    devices_said = "1 device" if devices == 1 else f"{devices} devices"
    return (
        f"\n> **{groups_said} ({devices_said}) did not fit and are not shown:** {names}{more}."
        f" The whole plan: {_inline(rest)}\n"
    )


_SPECIAL = re.compile(r"([\\`*_\[\]|#~!@])")
MOST_INLINE = 400
"""No name is longer; the head of a hostile plan must leave room for its groups."""


def _inline(text: str) -> str:
    """Text that means itself: no markup, no mention of a person, no reference to an issue.

    An address stays one: what edgeform itself was given by the CI is not taken apart.
    """
    if re.fullmatch(r"https?://[A-Za-z0-9./_:%?=&~+-]+", text):
        return text
    marked = _SPECIAL.sub(r"\\\1", one_line(text[:MOST_INLINE])).replace("\\@", "@\u200b")
    return html.escape(marked, quote=False)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
