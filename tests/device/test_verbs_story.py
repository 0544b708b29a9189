"""A device's life by the verbs alone, on this machine: lock, apply, look, return, drift, put right.

The device is another prefix here, run by the tool's own supervisor; the runtime closure is the real one.
"""

import shutil
import socket

import pytest
from support.here import a_site_here

from edgeform.build.closure import uv_path


@pytest.fixture
def life(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uv_path()
    made = a_site_here(tmp_path, capsys, port=port - 1)
    locked = made.run("lock")
    if locked.code == 13:
        pytest.skip(f"the runtime closure cannot be built here: {locked.err.splitlines()[-1]}")
    assert locked.code == 0, locked.err
    yield made
    made.end()


def change_the_spec(life) -> None:
    pipelines = life.site / "pipelines.yaml"
    text = pipelines.read_text()
    assert "every_s: 10}" in text
    pipelines.write_text(text.replace("every_s: 10}", "every_s: 5}"))


def test_a_life(life):
    first = life.run("apply", "-l", "here-1", "--yes")
    assert first.code == 0, first.out + first.err
    assert "enrolled; its code is" in first.err
    assert (life.site / "records/here-1.key.pem").exists(), "apply pins the key, as enroll does"
    assert life.run("plan", "-l", "here-1", "--detailed-exitcode").code == 0
    assert life.run("drift", "here-1", "--json").objects[0]["words"] == ["clean"]

    change_the_spec(life)
    assert life.run("drift", "here-1", "--json").objects[0]["words"] == ["pending"]
    assert life.run("apply", "-l", "here-1", "--yes").code == 0
    (diff,) = life.run("diff", "here-1", "--json").objects
    assert (diff["from"], diff["to"]) == (1, 2)
    assert [c["noun"] for c in diff["changes"]] == ["pipeline"]

    assert life.run("rollback", "here-1").code == 10, "nobody was asked"
    returned = life.run("rollback", "here-1", "--yes", "--json")
    assert (returned.code, returned.objects[0]["outcome"]) == (0, "committed"), returned.err
    states = {g["number"]: g["state"] for g in life.run("generations", "here-1", "--json").objects}
    assert states == {1: "current", 2: "kept"}
    assert life.run("drift", "here-1", "--json").objects[0]["words"] == ["pending"]

    checks = life.run("check", "here-1", "--json")
    assert checks.code == 0
    assert {c["verdict"] for c in checks.objects} == {"pass"}
    assert any('"ready"' in o["line"] for o in life.run("logs", "here-1", "--json").objects)

    said = life.run("receipts", "here-1", "--json")
    assert said.code == 0, said.err
    assert [r["to_generation"] for r in said.objects] == [1, 2, 1]
    assert "an unbroken chain" in said.err

    (labels,) = life.prefix().glob("trees/*/labels.txt")
    labels.chmod(0o644)
    labels.write_text("somebody was here\n")
    drift = life.run("drift", "here-1", "--json")
    assert drift.code == 2
    assert [f["kind"] for f in drift.objects[0]["found"]] == ["file"]

    remote = str(life.folder / "remote")
    assert life.run("store", "push", remote).code == 0
    ignore = shutil.ignore_patterns(".edgeform")
    shutil.copytree(life.site, life.folder / "other", ignore=ignore)
    pulled = life.run("store", "pull", remote, inside="other")
    assert pulled.code == 0, pulled.err
    assert life.run("trust", "verify", inside="other").code == 0
