"""The live form of a fleet's page: the same sections, and a line that asks now and then what has changed.

Without script the page is whole, and loads itself again once a minute; `/?still` does neither.
"""

import hashlib
import html

from edgeform.report.fleet import Fleet
from edgeform.report.fleet_page import sections, subtitle_of, title_of
from edgeform.report.page import STYLE_DIGEST, page, section, text

HTMX = "htmx-2.0.11.min.js"
POLL_S = 5
RELOAD_S = 60
MAY_LOAD = (
    f"default-src 'none'; script-src 'self'; style-src '{STYLE_DIGEST}'; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'self'"
)
POLICY = f"{MAY_LOAD}; frame-ancestors 'none'"
"""As a header; in a page itself `frame-ancestors` has no meaning."""
_CONFIG = (
    '{"allowEval":false,"allowScriptTags":false,"includeIndicatorStyles":false,'
    '"historyEnabled":false,"selfRequestsOnly":true,"timeout":10000}'
)
_FOOTER = "Served by edgeform, read-only."

Part = tuple[str, str, str]


def parts_of(fleet: Fleet) -> tuple[Part, ...]:
    return sections(fleet)


def digest_of(part: Part) -> str:
    """What a section is recognised by when it is the same as before."""
    return hashlib.sha256("\0".join(part).encode(errors="surrogatepass")).hexdigest()[:16]


def whole(fleet: Fleet, parts: tuple[Part, ...], version: str, notice: str, *, still: bool) -> str:
    """The page.

    Args:
        version: what this state is called when the page asks for later ones.
        notice: why what is shown may be old; empty if it is not.
        still: without anything that renews it.
    """
    head = f"<meta name=\"htmx-config\" content='{_CONFIG}'>"
    head += (
        f'<script src="/static/{HTMX}" defer></script><script src="/static/live.js" defer></script>'
    )
    head += f'<noscript><meta http-equiv="refresh" content="{RELOAD_S}"></noscript>'
    return page(
        title=title_of(fleet),
        subtitle="What edgeform knows of the devices, live and read-only",
        parts=parts,
        footer=_FOOTER,
        policy=MAY_LOAD,
        head="" if still else head,
        before=status(fleet, version, notice, still=still)
        + '<p id="lost" class="notice" role="alert" hidden></p>\n',
    )


def status(fleet: Fleet, version: str, notice: str, *, still: bool) -> str:
    """How old the page is, what is wrong, and how to have it stand still or go on."""
    asks = (
        ""
        if still
        else f' hx-get="/changes?seen={html.escape(version, quote=True)}"'
        f' hx-trigger="every {POLL_S}s" hx-swap="outerHTML"'
    )
    other = '<a href="/">Renew it by itself</a>' if still else '<a href="/?still">Stand still</a>'
    warned = f'<p class="notice" role="alert">{_lines(notice)}</p>' if notice else ""
    return (
        f'<div id="live"{asks}><p class="soft">{text(subtitle_of(fleet))} · {other} ·'
        f' <a href="/report.html" download>As one file</a></p>{warned}</div>\n'
    )


def changes(
    fleet: Fleet, parts: tuple[Part, ...], version: str, notice: str, known: frozenset[str]
) -> str:
    """The status line, and every section that the asking page does not have yet.

    Args:
        known: digests of the sections that it has.
    """
    renewed = (
        section(*part, ' hx-swap-oob="true"') for part in parts if digest_of(part) not in known
    )
    return status(fleet, version, notice, still=False) + "".join(renewed)


def token_page(*, is_wrong: bool) -> str:
    """A form that works without script."""
    wrong = '<p class="notice" role="alert">That is not the token.</p>' if is_wrong else ""
    form = (
        f'{wrong}<form method="post" action="/token"><label for="token">Token</label>'
        '<input id="token" name="token" type="password" autocomplete="current-password" required>'
        "<button>Show the fleet</button></form>\n"
    )
    return page(
        title="edgeform",
        subtitle="Whoever started this server knows the token.",
        parts=(("enter", "Enter", form),),
        footer=_FOOTER,
        policy=MAY_LOAD,
    )


def _lines(notice: str) -> str:
    return "\n".join(text(line) for line in notice.splitlines())
