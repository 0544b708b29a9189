"""The page of a fleet: whole, small, quick, harmless; looked at in a real browser, light and dark, narrow and wide."""

import html.parser
import itertools
import re
from pathlib import Path

import pytest
from PIL import Image, ImageStat
from support.browser import judged_by_axe, needs_chromium, screenshot
from support.fleet import a_fleet, a_moment, a_row
from support.plan import a_wide_plan

from edgeform.report.fleet import Health, Lane, Latency
from edgeform.report.fleet_page import MOST_MOMENTS, fleet_page
from edgeform.report.page import STYLE
from edgeform.report.plan_page import plan_page
from edgeform.report.sparkline import sparkline
from edgeform.report.topology import MOST_LANES, topology

IMAGES = Path(__file__).parents[3] / "docs" / "images"
NASTY = "</table><script>alert(1)</script>\u202e\x1b[2J"


class Seen(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *a) for a in attrs]
        if tag not in ("meta", "rect", "path", "circle", "polyline", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *a) for a in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


def test_every_device_is_in_the_matrix_and_every_element_is_closed():
    text = fleet_page(a_fleet(40))
    seen = Seen(text)
    assert seen.open == []
    for n in range(40):
        assert f'<th scope="row">ber-cam-{n:05}</th>' in text


def test_ten_thousand_devices_are_under_five_megabytes():
    assert len(fleet_page(a_fleet(10_000)).encode()) < 5_000_000


def test_what_is_cut_is_counted():
    moments = tuple(a_moment(n) for n in range(MOST_MOMENTS + 7))
    assert "7 more are not shown here" in fleet_page(a_fleet(3, moments=moments))


def test_what_needs_somebody_comes_first_and_worst_first():
    text = fleet_page(a_fleet(12))
    attention = text[text.index('id="attention"') : text.index('id="matrix"')]
    names = [n for n in range(12) if f"ber-cam-{n:05}" in attention]
    assert names == [0, 1, 2, 3, 5]
    assert attention.index("ber-cam-00000") < attention.index("ber-cam-00003")


def test_a_device_that_nobody_asked_is_not_called_healthy():
    rows = tuple(a_row(n, health=Health.UNSEEN, words=()) for n in range(3))
    text = fleet_page(a_fleet(3, rows=rows, looked_at=""))
    assert "no device was asked" in text
    assert "Nothing is known; no device was asked." in text
    assert ">healthy<" not in text


def test_an_empty_site_has_a_page():
    text = fleet_page(a_fleet(0, rows=(), moments=(), runs=(), lanes=()))
    assert Seen(text).open == []
    assert "The site has no device yet." in text


def test_whatever_devices_say_the_page_runs_and_loads_nothing():
    row = a_row(
        1, device=NASTY, models=(NASTY,), notes=(NASTY,), chain=NASTY, words=("drift", NASTY),
        last_result=NASTY, latencies=(Latency(pipeline=NASTY, p50_ms=(1.0,), budget_ms=None),),
    )  # fmt: skip
    lane = Lane(
        sources=(NASTY,), pipelines=(NASTY,), hardware_class=NASTY, sinks=(), devices=(NASTY,)
    )
    moment = a_moment(1, result=NASTY, reason=NASTY, time=NASTY)
    text = fleet_page(a_fleet(1, rows=(row,), lanes=(lane,), moments=(moment,), site=NASTY))
    seen = Seen(text)
    assert seen.open == []
    assert not {"script", "img", "link", "iframe", "object", "form", "base"} & set(seen.tags)
    for _, name, value in seen.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "srcset")
        assert name != "href" or value.startswith("#")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "default-src 'none'" in text


def test_who_cannot_see_it_can_read_it():
    seen = Seen(fleet_page(a_fleet(12)))
    found = {(tag, name): value for tag, name, value in seen.attributes}
    assert found["html", "lang"] == "en"
    assert seen.tags.count("h1") == 1
    assert seen.tags.count("caption") == seen.tags.count("table")
    assert found["svg", "role"] == "img"
    assert any(name == "href" and value == "#main" for _, name, value in seen.attributes)
    headings = [v for t, n, v in seen.attributes if (t, n) == ("section", "aria-labelledby")]
    ids = {v for _, n, v in seen.attributes if n == "id"}
    assert set(headings) <= ids


def test_a_site_of_many_kinds_draws_the_most_common_ones_and_says_so():
    lanes = tuple(
        Lane(sources=("x",), pipelines=("p",), hardware_class=f"c{n}", sinks=("y",), devices=("d",) * (n + 1))
        for n in range(MOST_LANES + 3)
    )  # fmt: skip
    text = topology(lanes)
    assert "3 more kinds of wiring are not drawn" in text
    assert f"{MOST_LANES + 3} of c{MOST_LANES + 2}" in text
    assert "1 of c0<" not in text


@pytest.mark.parametrize("values", [(), (0.0,), (1.0, 2.0), tuple(map(float, range(100)))])
@pytest.mark.parametrize("budget", [None, 0.0, 50.0])
def test_a_sparkline_stays_within_its_frame(values, budget):
    text = sparkline(values, budget)
    assert bool(text) == bool(values)
    if values:
        points = text.split('points="')[1].split('"')[0].split()
        assert len(points) == min(len(values), 40)
        for point in points:
            x, y = map(float, point.split(","))
            assert 0 <= x <= 120
            assert 0 <= y <= 24


def colours(scheme: str) -> dict[str, tuple[float, ...]]:
    """The variables of a scheme as linear light, after WCAG 2.2 "relative luminance"."""

    def linear(part: str) -> float:
        value = int(part, 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    found = {}
    for name, code in re.findall(r"--(\w+):#([0-9a-f]{3,6})", scheme):
        full = "".join(c * 2 for c in code) if len(code) == 3 else code
        found[name] = tuple(linear(full[n : n + 2]) for n in (0, 2, 4))
    return found


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    lights = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


READ = [
    (text, ground)
    for text in ("ink", "soft", "link", "good", "warn", "bad")
    for ground in ("bg", "card")
]
READ += [(tone, f"{tone}bg") for tone in ("good", "warn", "bad", "idle")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), READ)
def test_every_text_stands_out_from_its_ground(scheme, text, ground):
    light, dark = STYLE.split("@media(prefers-color-scheme:dark)")
    found = colours(light) if scheme == "light" else colours(dark.partition("}}")[0])
    assert contrast(found[text], found[ground]) >= 4.5


def test_headings_go_down_by_one_and_everything_is_in_a_landmark():
    text = fleet_page(a_fleet(12))
    levels = [int(n) for n in re.findall(r"<h(\d)", text)]
    assert levels[0] == 1
    assert all(later - before <= 1 for before, later in itertools.pairwise(levels))
    for landmark in ("header", "nav", "main", "footer"):
        assert text.count(f"<{landmark}") == 1
    # Every table: column heads and row heads, so that a cell can be read out with both.
    for found in re.findall(r"<table>.*?</table>", text, re.DOTALL):
        head, _, _ = found.partition("</thead>")
        assert '<th scope="col"' in head
        assert "<td" not in head
    assert text.count('<th scope="row">') > 12


def test_focus_goes_through_the_page_in_the_order_it_is_read():
    seen = Seen(fleet_page(a_fleet(12)))
    orders = [value for _, name, value in seen.attributes if name == "tabindex"]
    assert set(orders) <= {"0", "-1"}, "no place jumps the queue"
    first = next(value for tag, name, value in seen.attributes if tag == "a" and name == "href")
    assert first == "#main"


def brightness(picture: Image.Image) -> float:
    return ImageStat.Stat(picture.convert("L")).mean[0]


VIEWS = {
    "report-light": (1280, 1600, False),
    "report-dark": (1280, 1600, True),
    "report-narrow": (500, 1400, False),
    "report-narrow-dark": (500, 1400, True),
}


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
def test_the_page_in_a_real_browser(view, tmp_path, request):
    width, height, is_dark = VIEWS[view]
    page = tmp_path / "fleet.html"
    page.write_text(fleet_page(a_fleet(12)))
    to = tmp_path / f"{view}.png"
    screenshot(page, to, width=width, height=height, is_dark=is_dark)
    picture = Image.open(to).convert("RGB")
    assert picture.size == (width, height)
    assert (brightness(picture) < 80) == is_dark, "the page follows the system's scheme"
    # Only tables scroll sideways: to the right of them there is nothing but the page's own ground.
    ground = picture.getpixel((2, 2))
    edge = {picture.getpixel((width - 3, y)) for y in range(0, height, 7)}
    assert edge == {ground}
    if request.config.getoption("--refresh-golden"):
        IMAGES.mkdir(exist_ok=True)
        picture.quantize(64).save(IMAGES / f"{view}.png", optimize=True)


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("is_dark", [False, True])
@pytest.mark.parametrize("width", [1280, 420])
def test_axe_finds_nothing_wrong_in_a_real_browser(tmp_path, width, is_dark):
    for text in (fleet_page(a_fleet(12)), plan_page(a_wide_plan())):
        assert judged_by_axe(text, tmp_path, width=width, is_dark=is_dark) == {}


@needs_chromium
def test_the_file_breaks_no_rule_of_its_own_and_looks_the_same_without_script(tmp_path):
    page = tmp_path / "fleet.html"
    page.write_text(fleet_page(a_fleet(12)))
    pictures = []
    for has_script in (True, False):
        to = tmp_path / f"{has_script}.png"
        # A picture with a silent console: the policy took the page's own style.
        screenshot(page, to, width=900, height=1200, is_dark=False, has_script=has_script)
        # The last rows of a headless window are not always painted.
        pictures.append(Image.open(to).convert("RGB").crop((0, 0, 900, 1000)))
    assert pictures[0].tobytes() == pictures[1].tobytes()
    assert len(pictures[0].getcolors(1 << 20)) > 20, "it is not empty"
