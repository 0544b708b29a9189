"""A plan as one static page, for an artifact that people open: the groups of the text plan, in colour."""

from edgeform.plan import Changed, Plan, groups, render_group, summary_line
from edgeform.report.markdown import one_line_keeping
from edgeform.report.page import page, text, tiles


def plan_page(plan: Plan) -> str:
    """The page; every group of the plan is in it, however long it gets."""
    summary = plan.summary
    counts = (
        ("to change", summary.changed, "warn"),
        ("unchanged", summary.unchanged, "good"),
        ("blocked", summary.blocked, "bad"),
        ("held", summary.held, "bad"),
        ("busy", summary.busy, "idle"),
        ("unreachable", summary.unreachable, "idle"),
    )
    found = []
    for group in groups(plan):
        head, *lines = render_group(group, width=120)
        body = "".join(
            f'<span class="{line.meaning}">{text_keeping(line.text)}</span>\n' for line in lines
        )
        is_open = " open" if isinstance(group.first, Changed) or len(lines) < 12 else ""
        mark = f'<span class="{head.meaning}">{text(head.text)}</span>'
        names = text(", ".join(group.names))
        found.append(
            f'<details{is_open}><summary><code>{mark}</code></summary><p class="soft"'
            f'>{names}</p><pre tabindex="0">{body}</pre></details>\n'
            if lines
            else f"<details><summary><code>{mark}</code></summary>"
            f'<p class="soft">{names}</p></details>\n'
        )
    subtitle = f"{summary_line(plan)} · made {plan.created_at} by {plan.made_by}"
    made_of = f"spec {plan.spec_digest[7:19]}, lock {plan.lock_digest[7:19]}"
    return page(
        title=f"Plan of {plan.site}",
        subtitle=subtitle,
        parts=(("summary", "Summary", tiles(counts)), ("groups", "Groups", "".join(found))),
        footer=f"Made of {made_of}. Devices with the same diff are told once.",
    )


def text_keeping(line: str) -> str:
    """A line of the plan, escaped, with its indentation."""
    indent = len(line) - len(line.lstrip(" "))
    return " " * indent + text(one_line_keeping(line).lstrip(" "))
