"""Options that every tier understands; nothing here touches the machine."""

import difflib
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser):
    parser.addoption(
        "--refresh-golden",
        action="store_true",
        help="write what the code says now into tests/golden/, to be reviewed as prose",
    )


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
