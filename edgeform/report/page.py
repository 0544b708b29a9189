"""One static page: no network, no script, light and dark, narrow and wide. Opens from a stick.

Everything comes in through `text`, which escapes; a page forbids itself to load anything (CSP).
"""

import base64
import hashlib
import html
from collections.abc import Iterable

from edgeform.report.clean import one_line

STYLE = """
:root{--bg:#fbfbf9;--card:#fff;--ink:#1c1f23;--soft:#59616b;--line:#dcdfe3;--good:#186a3b;--goodbg:#dff2e5;
--warn:#7a4b00;--warnbg:#fcefd2;--bad:#a11d1d;--badbg:#fbe1e0;--idle:#424a53;--idlebg:#e8ebee;--link:#0b57a4}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--card:#1c2024;--ink:#e6e8ea;--soft:#a1a9b2;--line:#353b42;
--good:#8fdcae;--goodbg:#163524;--warn:#f2c879;--warnbg:#3b2d10;--bad:#ffb0ab;--badbg:#471c1b;--idle:#c3c9cf;
--idlebg:#2b3137;--link:#8ec2ff}}
*{box-sizing:border-box}html{color-scheme:light dark}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main,header,nav{max-width:1320px;margin:0 auto;padding:0 16px}
header{padding-top:20px}h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:32px 0 8px}
h3{font-size:1rem;margin:16px 0 4px}p{margin:4px 0}.soft{color:var(--soft)}
nav{padding-top:8px;padding-bottom:8px}nav a{margin-right:14px;white-space:nowrap;display:inline-block}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,.wide:focus-visible,pre:focus-visible{
outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-9999px}.skip:focus{left:16px;top:4px;background:var(--card);padding:4px 8px}
.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:14px 0;padding:0;list-style:none}
.tiles li{background:var(--card);border:1px solid var(--line);border-radius:8px;
padding:8px 14px;min-width:110px}
.tiles b{display:block;font-size:1.5rem;line-height:1.2}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%;font-size:.9rem}
caption{text-align:left;padding:8px 10px;color:var(--soft)}
th,td{text-align:left;padding:4px 10px;border-top:1px solid var(--line);vertical-align:top;white-space:nowrap}
td.say{white-space:normal;min-width:16rem}th{font-weight:600}td.n,th.n{text-align:right}
.w{display:inline-block;border-radius:5px;padding:0 7px;font-weight:600;font-size:.85em}
.good{color:var(--good);background:var(--goodbg)}.warn{color:var(--warn);background:var(--warnbg)}
.bad{color:var(--bad);background:var(--badbg)}.idle{color:var(--idle);background:var(--idlebg)}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{margin:0;padding:10px;overflow-x:auto}
details{background:var(--card);border:1px solid var(--line);border-radius:8px;margin:8px 0}
details>p{padding:0 12px}
summary{padding:8px 12px;cursor:pointer;overflow-wrap:anywhere}
.add{color:var(--good)}.change,.drift{color:var(--warn)}.remove,.problem{color:var(--bad)}.faint{color:var(--soft)}
svg[role]{margin:10px}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}svg .box{fill:var(--card);stroke:var(--soft)}
svg .edge{stroke:var(--soft);fill:none}svg .soft{fill:var(--soft)}
svg .f-good{fill:var(--good)}svg .f-warn{fill:var(--warn)}svg .f-bad{fill:var(--bad)}
svg .f-idle{fill:var(--idle)}
svg .f-link{fill:var(--link)}svg .f-card{fill:var(--card);font-weight:600}
.plots{display:flex;flex-wrap:wrap}.plots figure{margin:10px}.plots figure p{max-width:380px}
.alarm{padding:6px 10px;border-radius:6px}
.notice{background:var(--warnbg);color:var(--warn);border-radius:8px;padding:8px 14px;margin:10px 0;
white-space:pre-wrap}
[hidden]{display:none}form{margin:20px 0}label{display:block;font-weight:600}
input,button{font:inherit;padding:6px 10px;margin:6px 6px 0 0}
footer{max-width:1320px;margin:32px auto;padding:0 16px;color:var(--soft);font-size:.85rem}
@media print{nav{display:none}details{break-inside:avoid}}
""".strip()
STYLE_DIGEST = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
"""What a policy names, so that no other style than this one is taken."""
POLICY = f"default-src 'none'; style-src '{STYLE_DIGEST}'; img-src data:"


def text(value: object) -> str:
    """Anything as text of the page: escaped, and harmless to read."""
    return html.escape(one_line(str(value)))


def page(
    *,
    title: str,
    subtitle: str,
    parts: Iterable[tuple[str, str, str]],
    footer: str,
    policy: str = POLICY,
    head: str = "",
    before: str = "",
) -> str:
    """The whole document.

    Args:
        parts: (anchor, heading, HTML) of each section, in order; HTML that is made by this package.
        policy: what the page may load. head, before: HTML of the caller, in the head and above the sections.
    """
    parts = tuple(parts)
    links = "".join(f'<a href="#{text(a)}">{text(h)}</a>' for a, h, _ in parts)
    body = "".join(section(*part) for part in parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy, quote=False)}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>{head}</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the content</a>\n'
        f'<header><h1>{text(title)}</h1><p class="soft">{text(subtitle)}</p></header>\n'
        f'<nav aria-label="Sections">{links}</nav>\n<main id="main" tabindex="-1">\n{before}{body}</main>\n'
        f"<footer>{text(footer)}</footer>\n</body></html>\n"
    )


def section(anchor: str, heading: str, content: str, attributes: str = "") -> str:
    """One section under its heading; `attributes` are HTML of the caller."""
    name = text(anchor)
    return (
        f'<section id="part-{name}" aria-labelledby="{name}"{attributes}>'
        f'<h2 id="{name}">{text(heading)}</h2>\n{content}</section>\n'
    )


def tiles(counts: Iterable[tuple[str, object, str]]) -> str:
    """Numbers at a glance: (what, how many, tone)."""
    items = "".join(
        f'<li><b>{text(n)}</b><span class="w {tone}">{text(what)}</span></li>'
        for what, n, tone in counts
    )
    return f'<ul class="tiles">{items}</ul>\n'


def badge(word: str, tone: str) -> str:
    """A state in words; the colour only repeats it."""
    return f'<span class="w {tone}">{text(word)}</span>'


def table(
    caption: str,
    titles: Iterable[str],
    rows: Iterable[Iterable[str]],
    *,
    numbers: Iterable[str] = (),
) -> str:
    """A table that scrolls by itself on a narrow screen; cells are HTML of this package.

    Args:
        numbers: the titles of columns that hold numbers.
    """
    right = frozenset(numbers)
    head = "".join(
        f'<th scope="col"{" class=n" if t in right else ""}>{text(t)}</th>' for t in titles
    )
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></div>\n"
    )


def cell(content: str, kind: str = "") -> str:
    return f'<td class="{kind}">{content}</td>' if kind else f"<td>{content}</td>"
