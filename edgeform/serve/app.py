"""The pages over HTTP: GET and HEAD only, but for the form that takes the token.

Every answer forbids the browser to load or run anything that is not in this package, to be framed, and to
keep what it got. Nothing that a request says is printed, but for the address it came from.
"""

import asyncio
import gzip
from collections.abc import Callable
from importlib import resources
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgeform.serve.guard import COOKIE, Guard
from edgeform.serve.keeper import Keeper
from edgeform.serve.live_page import HTMX, POLICY, token_page

WRONG_TOKEN_S = 1.0
"""What a wrong token costs, so that guessing is slow; right ones are never kept waiting."""
MAX_FORM_BYTES = 4096
ENTER = "/token"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SCRIPTS = (HTMX, "live.js")


def application(
    keeper: Keeper, guard: Guard, *, said: Callable[[str], None], is_tls: bool
) -> ASGIApp:
    """The pages of `keeper`'s newest snapshot, behind `guard`.

    Args:
        said: told of wrong tokens, with the address they came from.
        is_tls: whether a browser may be told to send the cookie over https alone.
    """
    pages = _Pages(keeper)
    routes = [
        Route("/", pages.fleet),
        Route("/changes", pages.changes),
        Route("/report.html", pages.as_file),
        Route("/static/{name}", pages.script),
    ]
    return _Door(Starlette(routes=routes), guard, said, is_tls=is_tls)


class _Pages:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._scripts = {
            name: resources.files("edgeform.serve").joinpath("static", name).read_bytes()
            for name in SCRIPTS
        }

    def fleet(self, request: Request) -> Response:
        snapshot = self._keeper.snapshot
        is_still = "still" in request.query_params
        return _page(request, snapshot.packed_still if is_still else snapshot.packed)

    def changes(self, request: Request) -> Response:
        snapshot = self._keeper.snapshot
        seen = request.query_params.get("seen", "")
        if seen == snapshot.version:
            return Response(status_code=204)
        content = snapshot.changes(self._keeper.digests_of(seen))
        return _page(request, gzip.compress(content.encode(errors="replace"), compresslevel=1))

    def as_file(self, request: Request) -> Response:
        answer = _page(request, self._keeper.snapshot.packed_file)
        answer.headers["Content-Disposition"] = 'attachment; filename="fleet.html"'
        return answer

    def script(self, request: Request) -> Response:
        content = self._scripts.get(request.path_params["name"])
        if content is None:
            return PlainTextResponse("There is no such page.\n", 404)
        return Response(content, media_type="text/javascript")


def _page(request: Request, content: bytes) -> Response:
    headers = {"Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return HTMLResponse(content, headers=headers)
    return HTMLResponse(gzip.decompress(content), headers=headers)


class _Door:
    """The application behind its guard, with the headers on every answer."""

    def __init__(
        self, inner: ASGIApp, guard: Guard, said: Callable[[str], None], *, is_tls: bool
    ) -> None:
        self._inner = inner
        self._guard = guard
        self._said = said
        self._is_tls = is_tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = await self._turned_away(Request(scope, receive))
        await (answer or self._inner)(scope, receive, with_headers)

    async def _turned_away(self, request: Request) -> Response | None:
        """The answer to a request that does not get in; None for one that does."""
        guard = self._guard
        if not guard.knows_host(request.headers.get("host", "")):
            said = "This server is not called that. Start it with --name, if it is.\n"
            return PlainTextResponse(said, 421)
        if not guard.token:
            return None
        if request.url.path == ENTER:
            return await self._entered(request)
        if "token" in request.query_params:
            return await self._judged(request, request.query_params["token"])
        if guard.takes_cookie(request.cookies.get(COOKIE, "")):
            return None
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            if guard.takes_token(bearer.strip()):
                return None
            return await self._judged(request, bearer)
        return HTMLResponse(token_page(is_wrong=False), 401)

    async def _entered(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            return HTMLResponse(token_page(is_wrong=False))
        if request.method != "POST":
            return PlainTextResponse("Method Not Allowed\n", 405, headers={"Allow": "GET, POST"})
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > MAX_FORM_BYTES:
                return PlainTextResponse("That is no token.\n", 413)
        fields = parse_qs(content.decode(errors="replace"))
        return await self._judged(request, fields.get("token", [""])[0])

    async def _judged(self, request: Request, offered: str) -> Response:
        if not self._guard.takes_token(offered):
            self._said(
                f"a wrong token from {request.client.host if request.client else 'somebody'}"
            )
            await asyncio.sleep(WRONG_TOKEN_S)
            return HTMLResponse(token_page(is_wrong=True), 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE, self._guard.cookie, httponly=True, samesite="lax", secure=self._is_tls
        )
        return answer
