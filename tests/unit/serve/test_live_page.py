"""The live page by itself: large fleets, what is sent again, and what a real browser makes of it."""

import gzip
import re
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from PIL import Image
from support.browser import judged_by_axe, laid_out, needs_chromium, screenshot
from support.fleet import a_fleet, a_row
from support.serving import ask

from edgeform.errors import SpecInvalid
from edgeform.report.fleet import Health
from edgeform.serve.app import application
from edgeform.serve.guard import Guard
from edgeform.serve.keeper import REMEMBERED, Keeper
from edgeform.serve.live_page import token_page

IMAGES = Path(__file__).parents[3] / "docs" / "images"


class Told:
    """A source that says what the test wants it to say."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.number = 0
        self.failure = None
        self.looks = 0

    def look(self):
        self.looks += 1
        if self.failure:
            raise self.failure

    def read(self):
        return self.fleet

    def mark(self):
        return self.number

    def close(self):
        pass

    def becomes(self, fleet):
        self.fleet = fleet
        self.number += 1


@contextmanager
def kept(source, *, every_s=None, read_s=0.05):
    ended = threading.Event()
    keeper = Keeper(source, every_s=every_s, said=lambda _: None, ended=ended.set, read_s=read_s)
    keeper.start()
    try:
        yield keeper, ended
    finally:
        assert keeper.close(wait_s=20)


def until(condition, within_s=30.0):
    limit = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < limit
        time.sleep(0.02)
    return found


@contextmanager
def served(keeper, guard=None):
    place = socket.socket()
    place.bind(("127.0.0.1", 0))
    place.listen()
    app = application(keeper, guard or Guard(), said=lambda _: None, is_tls=False)
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    try:
        yield place.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)
        place.close()


def test_ten_thousand_devices_are_served_at_once_and_only_what_changed_is_sent_again():
    fleet = a_fleet(10_000)
    source = Told(fleet)
    with kept(source) as (keeper, _), served(keeper) as port:
        began = time.monotonic()
        page = ask(port, Accept_Encoding="gzip")
        seconds = time.monotonic() - began
        assert page.status == 200
        assert "ber-cam-09999" in page.text
        assert len(keeper.snapshot.packed) < 500_000
        assert seconds < 2, "it lay ready"
        seen = keeper.snapshot.version
        assert ask(port, f"/changes?seen={seen}").status == 204
        runs = (replace(fleet.runs[0], counts=(("committed", 12),)), *fleet.runs[1:])
        source.becomes(replace(fleet, runs=runs))
        until(lambda: keeper.snapshot.version != seen)
        changed = ask(port, f"/changes?seen={seen}").text
        assert len(changed) < 10_000
        assert re.findall(r'id="part-(\w+)"', changed) == ["rollout"]
        whole = ask(port, "/changes?seen=nobody-knows").text
        assert len(re.findall(r'id="part-(\w+)"', whole)) == 8


def test_a_page_that_slept_for_a_week_gets_everything_and_nothing_is_remembered_for_ever():
    source = Told(a_fleet(3))
    with kept(source) as (keeper, _):
        first = keeper.snapshot.version
        assert keeper.digests_of(first)
        for n in range(REMEMBERED + 3):
            before = keeper.snapshot.version
            source.becomes(a_fleet(3, made_at=f"2026-03-02T08:00:{n:02}Z"))
            until(lambda before=before: keeper.snapshot.version != before)
        assert keeper.digests_of(first) == frozenset()
        assert len(keeper._states) == REMEMBERED


def test_a_look_that_fails_is_a_notice_until_one_works():
    source = Told(a_fleet(3))
    source.failure = SpecInvalid(())
    with kept(source, every_s=0.05) as (keeper, ended):
        until(lambda: "looking did not work" in keeper.snapshot.notice)
        source.failure = OSError("the disk is gone")
        until(lambda: "the disk is gone" in keeper.snapshot.notice)
        source.failure = None
        until(lambda: keeper.snapshot.notice == "")
        assert not ended.is_set()


def test_a_bug_ends_the_server_instead_of_a_page_that_grows_old():
    source = Told(a_fleet(3))
    source.failure = ZeroDivisionError("bug")
    with kept(source, every_s=60) as (keeper, ended):
        assert ended.wait(20)
        assert isinstance(keeper.failed, ZeroDivisionError)


def test_whatever_devices_say_the_live_page_has_no_script_but_its_own():
    nasty = "</section><script>alert(1)</script><div hx-get='//evil' data-hx-get=x>"
    rows = (a_row(1, device=nasty, notes=(nasty,), chain=nasty, words=("drift", nasty)),)
    with kept(Told(a_fleet(1, rows=rows, site=nasty, looked_at=nasty))) as (keeper, _):
        for text in (
            gzip.decompress(keeper.snapshot.packed).decode(),
            keeper.snapshot.changes(frozenset()),
        ):
            assert not re.search(r"<[^>]+hx-get=['\"]?//evil", text)
            assert set(re.findall(r"<script[^>]*>", text)) <= {
                '<script src="/static/htmx-2.0.11.min.js" defer>',
                '<script src="/static/live.js" defer>',
            }


def test_a_page_that_stands_still_neither_asks_nor_loads_again():
    with kept(Told(a_fleet(3))) as (keeper, _):
        still = gzip.decompress(keeper.snapshot.packed_still).decode()
        assert "hx-get" not in still
        assert 'http-equiv="refresh"' not in still
        assert "<script" not in still
        moving = gzip.decompress(keeper.snapshot.packed).decode()
        assert '<noscript><meta http-equiv="refresh" content="60"></noscript>' in moving
        assert '<a href="/?still">' in moving


class Two:
    """A keeper whose page is of one state, and whose changes are of the next."""

    def __init__(self, first, second):
        self._first, self._second = first, second
        self.asked = 0

    @property
    def snapshot(self):
        self.asked += 1
        return self._first if self.asked == 1 else self._second

    def digests_of(self, version):
        return self._first.digests if version == self._first.version else frozenset()


def two_states():
    fleet = a_fleet(12)
    rows = (
        replace(fleet.rows[0], health=Health.HEALTHY, words=("clean",), notes=()),
        *fleet.rows[1:],
    )
    source = Told(fleet)
    with kept(source) as (keeper, _):
        first = keeper.snapshot
        source.becomes(replace(fleet, rows=rows, looked_at="2026-03-02T09:00:00Z"))
        until(lambda: keeper.snapshot is not first)
        return Two(first, keeper.snapshot)


@needs_chromium
def test_the_page_renews_itself_in_a_real_browser_and_breaks_no_rule_of_its_own(tmp_path):
    with served(two_states()) as port:
        text, said = laid_out(f"http://127.0.0.1:{port}/", tmp_path / "profile", budget_ms=12_000)
    assert said == [], "the console is silent: no policy was broken"
    assert "devices looked at 2026-03-02T09:00:00Z" in text
    attention = text[text.index('id="attention"') : text.index('id="matrix"')]
    assert "ber-cam-00000" not in attention
    assert "ber-cam-00002" in attention
    assert text.count('id="part-attention"') == 1
    assert 'id="lost" class="notice" role="alert" hidden' in text


@needs_chromium
@pytest.mark.slow
def test_without_script_the_page_looks_the_same(tmp_path):
    pictures = []
    with kept(Told(a_fleet(12))) as (keeper, _), served(keeper) as port:
        for has_script in (True, False):
            to = tmp_path / f"{has_script}.png"
            screenshot(
                f"http://127.0.0.1:{port}/", to, width=900, height=1200, is_dark=False,
                has_script=has_script,
            )  # fmt: skip
            # The last rows of a headless window are not always painted.
            pictures.append(Image.open(to).convert("RGB").crop((0, 0, 900, 1000)))
    assert pictures[0].tobytes() == pictures[1].tobytes()
    assert len(pictures[0].getcolors(1 << 20)) > 20, "it is not empty"


@needs_chromium
@pytest.mark.slow
def test_a_server_that_is_gone_is_said_on_the_page(tmp_path):
    class Dying:
        """Refuses after the page and its scripts were loaded."""

        def __init__(self, inner):
            self._inner = inner

        async def __call__(self, scope, receive, send):
            if scope["path"] == "/changes":
                raise ConnectionResetError
            await self._inner(scope, receive, send)

    with kept(Told(a_fleet(3))) as (keeper, _):
        app = Dying(application(keeper, Guard(), said=lambda _: None, is_tls=False))
        place = socket.socket()
        place.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_level="critical", access_log=False)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{place.getsockname()[1]}/"
        text, _ = laid_out(address, tmp_path / "profile", budget_ms=12_000)
        server.should_exit = True
        thread.join(20)
        place.close()
    assert "What stands here is older than that." in text


VIEWS = {
    "serve-light": (1280, 1100, False),
    "serve-dark": (1280, 1100, True),
    "serve-narrow": (420, 1000, False),
}


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
def test_the_live_page_looks_like_the_static_one(view, tmp_path, request):
    width, height, is_dark = VIEWS[view]
    source = Told(a_fleet(12))
    source.failure = OSError("the journal is locked by another program")
    with kept(source, every_s=60) as (keeper, _), served(keeper) as port:
        until(lambda: keeper.snapshot.notice)
        to = tmp_path / f"{view}.png"
        screenshot(f"http://127.0.0.1:{port}/", to, width=width, height=height, is_dark=is_dark)
    picture = Image.open(to).convert("RGB")
    assert picture.size == (width, height)
    assert (picture.convert("L").resize((1, 1)).getpixel((0, 0)) < 80) == is_dark
    if request.config.getoption("--refresh-golden"):
        picture.quantize(64).save(IMAGES / f"{view}.png", optimize=True)


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("is_dark", [False, True])
def test_axe_finds_nothing_wrong_on_the_live_page_and_the_form(tmp_path, is_dark):
    with kept(Told(a_fleet(12))) as (keeper, _):
        live = gzip.decompress(keeper.snapshot.packed).decode()
    # From a file there is no server to load scripts from.
    assert (
        judged_by_axe(re.sub(r"<script src[^>]*></script>", "", live), tmp_path, is_dark=is_dark)
        == {}
    )
    assert judged_by_axe(token_page(is_wrong=True), tmp_path, is_dark=is_dark) == {}
