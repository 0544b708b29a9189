"""Pages in a real browser: headless Chromium, started for each picture, with no network but loopback."""

import json
import re
import shutil
import subprocess
from html import unescape
from importlib import resources
from pathlib import Path

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here (Debian package chromium)"
)
_QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-dev-shm-usage", "--disable-extensions",
    "--proxy-server=127.0.0.1:1", "--proxy-bypass-list=127.0.0.1", "--enable-logging=stderr",
)  # fmt: skip
_COMPLAINT = re.compile(r":CONSOLE(?:\(\d+\)|:\d+)\].*", re.IGNORECASE)


def _address(page: Path | str) -> str:
    return page.as_uri() if isinstance(page, Path) else page


def _run(
    page: Path | str, profile: Path, *options: str, budget_ms: int = 2000
) -> tuple[str, list[str]]:
    """(standard output, what the page's console said)."""
    command = (
        str(CHROMIUM), *_QUIET, f"--user-data-dir={profile}", f"--virtual-time-budget={budget_ms}",
        *options, _address(page),
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, _COMPLAINT.findall(done.stderr)


def screenshot(
    page: Path | str, to: Path, *, width: int, height: int, is_dark: bool, has_script: bool = True
) -> None:
    """A picture of the page's upper end, in the scheme that the system asks for."""
    options = (f"--window-size={width},{height}", f"--screenshot={to}")
    if not has_script:
        options += ("--blink-settings=scriptEnabled=false",)
    forced = ("--blink-settings=preferredColorScheme=" + ("0" if is_dark else "1"),)
    _, said = _run(page, to.parent / "profile", *options, *forced)
    assert to.stat().st_size > 1000
    assert said == []


def laid_out(page: Path | str, profile: Path, *, budget_ms: int = 2000) -> tuple[str, list[str]]:
    """(the document after layout and scripts, what its console said): a policy that was broken is said there."""
    return _run(page, profile, "--window-size=1280,900", "--dump-dom", budget_ms=budget_ms)


def judged_by_axe(
    text: str, folder: Path, *, width: int = 1280, is_dark: bool = False
) -> dict[str, list[str]]:
    """What axe-core finds wrong on a page: rule -> the elements. Its own script replaces the page's policy."""
    axe = resources.files(pytest.importorskip("axe_core_python")).joinpath("axe.min.js").read_text()
    runner = (
        "addEventListener('load',()=>axe.run().then(r=>{const p=document.createElement('pre');p.id='axe';"
        "p.textContent=JSON.stringify({passes:r.passes.length,violations:r.violations.map(v=>"
        "[v.id,v.nodes.map(n=>n.html.slice(0,200))])});document.body.append(p)}))"
    )
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    page = folder / "judged.html"
    page.write_text(
        bare.replace("</head>", f"<script>{axe}</script><script>{runner}</script></head>")
    )
    forced = ("--blink-settings=preferredColorScheme=" + ("0" if is_dark else "1"),)
    out, _ = _run(
        page,
        folder / "profile",
        f"--window-size={width},900",
        "--dump-dom",
        *forced,
        budget_ms=20_000,
    )
    found = re.search(r'<pre id="axe">(.*?)</pre>', out, re.DOTALL)
    assert found, out[-500:]
    said = json.loads(unescape(found[1]))
    assert said["passes"] > 10, "axe looked at nothing"
    return dict(said["violations"])
