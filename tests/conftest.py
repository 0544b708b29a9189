"""Options that every tier understands; nothing here touches the machine."""

import difflib
from pathlib import Path

import pytest
from hypothesis import settings

# A slow example on a busy machine is no failure; whole tests have a limit of their own.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

TESTS = Path(__file__).parent
GOLDEN = TESTS / "golden"
IN_EVERY_RUN = ("test_device_tool.py", "test_e2e_story.py", "test_lab_nspawn.py")
"""The device tests of `make test`; the rest of that tier is in `make test-all`: each boots devices of its own."""
ONLY_IN_TEST_ALL = ("docs/test_commands.py",)


def pytest_addoption(parser):
    parser.addoption(
        "--refresh-golden",
        action="store_true",
        help="write what the code says now into tests/golden/, to be reviewed as prose",
    )


def pytest_collection_modifyitems(items):
    """Sample the tiers that take minutes, file by file."""
    for item in items:
        place = item.path.relative_to(TESTS)
        is_sampled = place.parts[0] == "device" and place.name not in IN_EVERY_RUN
        if is_sampled or place.as_posix() in ONLY_IN_TEST_ALL:
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter):
    """What tests measured along the way (the fixture `measured`), whichever worker ran them."""
    reports = [r for found in terminalreporter.stats.values() for r in found]
    lines = [
        value
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "measured"
    ]
    if lines:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture
def golden(request):
    """Compare bytes or text with a file below tests/golden/; a difference shows as a diff."""

    def compare(name: str, actual: str | bytes) -> None:
        path = GOLDEN / name
        content = actual if isinstance(actual, bytes) else actual.encode()
        if request.config.getoption("--refresh-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return
        if not path.exists():
            pytest.fail(f"tests/golden/{name} is missing; make it with --refresh-golden")
        expected = path.read_bytes()
        if expected != content:
            lines = difflib.unified_diff(
                expected.decode(errors="replace").splitlines(),
                content.decode(errors="replace").splitlines(),
                f"tests/golden/{name}",
                "now",
                lineterm="",
            )
            pytest.fail("\n".join(lines) + "\n(refresh with --refresh-golden, then read it)")

    return compare
