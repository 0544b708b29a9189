import pytest
from support.here import a_site_here


@pytest.fixture
def here(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    made = a_site_here(tmp_path, capsys)
    yield made
    made.end()
