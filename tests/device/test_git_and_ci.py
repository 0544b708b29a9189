"""The whole road through Git: a pull request's plan, kept, merged and applied as it was read, to a real device.

The device is this machine under another prefix; closure, transaction and inference are the real ones. The
steps are those of the shipped workflow.
"""

import shutil
import socket

import pytest
from support.codehost import CodeHost
from support.here import a_site_here
from support.locked_here import commit, git
from support.workflow import run_github

from edgeform.build.closure import uv_path

STORE = {"vars.EDGEFORM_STORE": ""}


@pytest.fixture
def life(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uv_path()
    made = a_site_here(tmp_path, capsys, port=port - 1)
    devices = made.site / "devices.yaml"
    devices.write_text(
        devices.read_text().replace("    - {name: away, connect: {mode: offline}}\n", "")
    )
    locked = made.run("lock")
    if locked.code == 13:
        pytest.skip(f"the runtime closure cannot be built here: {locked.err.splitlines()[-1]}")
    assert locked.code == 0, locked.err
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / ".gitignore").write_text("here-1/\nscenes/\nplan.*\nedgeform.sarif\n")
    shutil.copytree("site/factory/policies", tmp_path / "policies", dirs_exist_ok=True)
    commit(tmp_path, "site")
    git(tmp_path, "checkout", "-q", "-b", "topic")
    yield made
    made.end()


def test_what_was_read_in_the_pull_request_is_what_runs_after_the_merge(life):
    root = life.folder
    (root / "note").write_text("a change")
    head = commit(root, "topic")
    with CodeHost() as host:
        variables = host.github(GITHUB_SHA=head)
        table = STORE | {
            "github.token": variables["GITHUB_TOKEN"],
            "github.event.pull_request.head.sha": head,
        }
        planned = run_github(
            "plan", root, site="site", table=table, variables=variables,
            keep=lambda name, file: host.keep_artifact(name, file.read_bytes(), head),
        )  # fmt: skip
        assert planned.code == 0, planned.output
        read = (root / "plan.json").read_bytes()
        (comment,) = host.comments
        assert "1 to change" in comment["body"]

        git(root, "checkout", "-q", "main")
        git(root, "merge", "-q", "--no-ff", "-m", "merge", head)
        merged = git(root, "rev-parse", "HEAD")
        pull = {"number": 7, "merge_commit_sha": merged, "merged_at": "x", "head": {"sha": head}}
        host.pulls[merged] = [pull]
        (root / "plan.json").unlink()
        variables = host.github(GITHUB_SHA=merged)
        applied = run_github("apply", root, site="site", table=table, variables=variables)
        assert applied.code == 0, applied.output
        assert (root / "plan.json").read_bytes() == read
        (status,) = life.run("status", "--json").objects
        assert (status["state"], status["committed"]) == ("healthy", 1)

        # The device moved on: the same saved plan is not for it any more.
        again = run_github("apply", root, site="site", table=table, variables=variables)
        assert again.code == 6, again.output
        assert "the plan was made for" in again.output
        page = life.folder / "fleet.html"
        assert life.run("receipts", "here-1", "--export").code == 0
        assert life.run("report", "--out", str(page)).code == 0
        told = page.read_text()
        last = git(root, "log", "-1", "--format=%h", "--abbrev=10", "--", "site")
        for said in ("healthy", "committed", f"{last} A", "unbroken chains", "polyline"):
            assert said in told, said

        # Every check of every device, golden inputs and provider among them, and nothing is found.
        looked = life.run("drift", "here-1", "--goldens", "100", "--json")
        assert looked.code == 0, looked.err
        assert looked.objects[0]["words"] == ["clean"]
