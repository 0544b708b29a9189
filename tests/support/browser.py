"""Pages in a real browser: headless Chromium, started for each picture, without any network."""

import shutil
import subprocess
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
    "--proxy-server=127.0.0.1:1", "--virtual-time-budget=2000",
)  # fmt: skip


def _run(page: Path, *options: str) -> str:
    profile = page.parent / "profile"
    command = (str(CHROMIUM), *_QUIET, f"--user-data-dir={profile}", *options, page.as_uri())
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def screenshot(page: Path, to: Path, *, width: int, height: int, is_dark: bool) -> None:
    """A picture of the page's upper end, in the scheme that the system asks for."""
    scheme = "dark" if is_dark else "light"
    options = (f"--window-size={width},{height}", f"--screenshot={to}")
    forced = ("--blink-settings=preferredColorScheme=" + ("0" if is_dark else "1"),)
    _run(page, *options, *forced)
    assert to.stat().st_size > 1000, scheme


def laid_out(page: Path, *, width: int) -> str:
    """The document after layout and scripts, as the browser has it."""
    return _run(page, f"--window-size={width},900", "--dump-dom")
