"""A repository whose history was rewritten: with a real Git, a server that takes the push, and two controllers."""

import json
import subprocess

import pytest
from support.locked_here import commit, git
from support.written import a_receipt, an_unsigned_chain

from edgeform.rollout.journal import Journal


@pytest.fixture
def told(here, tmp_path):
    """A site in a repository with a remote, two receipts in the journal, and its records pushed."""
    git(here.site, "init", "-q", "-b", "main")
    (here.site / ".gitignore").write_text(".edgeform/\n")
    commit(here.site, "a new camera")
    chain = an_unsigned_chain(
        a_receipt("t1", wall_time="2999-01-01T00:00:00Z"),
        a_receipt("t2", wall_time="2999-01-02T00:00:00Z", from_generation=1, to_generation=2),
    )
    with Journal(here.site / ".edgeform/journal.db") as journal:
        journal.keep_receipts("lab", "here-1", chain, now="2999-01-03T00:00:00Z")
    assert here.run("receipts", "here-1", "--offline", "--export").code == 0
    commit(here.site, "records")
    subprocess.run(("git", "init", "-q", "--bare", str(tmp_path / "server.git")), check=True)
    git(here.site, "remote", "add", "origin", str(tmp_path / "server.git"))
    git(here.site, "push", "-q", "-u", "origin", "main")
    return here


def forced(told, tmp_path, change):
    """Somebody rewrites the branch and forces it onto the server; this controller takes what is there."""
    other = tmp_path / "other"
    subprocess.run(
        ("git", "clone", "-q", "-b", "main", str(tmp_path / "server.git"), str(other)), check=True
    )
    change(other)
    git(other, "push", "-q", "--force", "origin", "main")
    git(told.site, "fetch", "-q", "origin")
    git(told.site, "reset", "-q", "--hard", "origin/main")


def test_records_that_were_pushed_away_are_written_again(told, tmp_path):
    file = told.site / "records/here-1.jsonl"
    before = file.read_bytes()
    forced(told, tmp_path, lambda other: git(other, "reset", "-q", "--hard", "HEAD~1"))
    assert not file.exists()
    assert len(told.run("history", "--json").objects) == 2, "the journal still has them"
    assert told.run("receipts", "here-1", "--offline", "--export").code == 0
    assert file.read_bytes() == before


def test_a_rewritten_line_is_named_and_not_taken(told, tmp_path):
    def lie(other):
        file = other / "records/here-1.jsonl"
        file.write_bytes(file.read_bytes().replace(b'"to_generation":2', b'"to_generation":9'))
        git(other, "commit", "-q", "-a", "--amend", "-m", "records")

    forced(told, tmp_path, lie)
    said = told.run("history", "--json")
    assert said.code == 12
    assert "records/here-1.jsonl, line 2" in said.err
    assert [m["to_generation"] for m in said.objects] == [2, 1], (
        "what devices told this machine is shown"
    )
    page = told.run("report", "--offline")
    assert "another receipt there" in page.out
    assert "chain broken" in page.out
    assert told.run("receipts", "here-1", "--offline", "--export").code == 12


def test_commits_that_are_gone_are_not_told_and_the_page_still_opens(told, tmp_path):
    before = {m["commit"]["digest"] for m in told.run("history", "--json").objects}

    def rewrite(other):
        git(other, "checkout", "-q", "--orphan", "fresh")
        git(other, "commit", "-q", "-m", "squashed")
        git(other, "branch", "-q", "-M", "main")

    forced(told, tmp_path, rewrite)
    git(told.site, "reflog", "expire", "--expire=now", "--all")
    git(told.site, "gc", "-q", "--prune=now")
    after = {m["commit"]["digest"] for m in told.run("history", "--json").objects}
    assert not before & after
    assert {m["commit"]["subject"] for m in told.run("history", "--json").objects} == {"squashed"}
    assert told.run("report", "--offline").code == 0


def test_a_saved_plan_holds_by_what_the_site_says_and_not_by_its_commit(told, tmp_path):
    """The same site under another commit: still true. Another site under the same name: stale."""
    from support.locked_here import write_lock

    write_lock(told.site)
    commit(told.site, "lock")
    git(told.site, "push", "-q")
    plan = tmp_path / "plan.json"
    assert told.run("plan", "here-1", "--out", str(plan)).code == 64, "one site at a time"
    assert told.run("plan", "-l", "here-1", "--out", str(plan)).code == 0
    digest = json.loads(plan.read_text())["spec_digest"]

    def reword(other):
        git(other, "commit", "-q", "--amend", "-m", "lock, said better")

    forced(told, tmp_path, reword)
    again = tmp_path / "again.json"
    assert told.run("plan", "-l", "here-1", "--out", str(again)).code == 0
    assert json.loads(again.read_text())["spec_digest"] == digest

    subprocess.run(("rm", "-rf", str(tmp_path / "other")), check=True)

    def change(other):
        pipelines = other / "pipelines.yaml"
        pipelines.write_text(pipelines.read_text().replace("every_s: 10}", "every_s: 7}"))
        git(other, "commit", "-q", "-a", "--amend", "-m", "lock, said better")

    forced(told, tmp_path, change)
    said = told.run("apply", str(plan), "--yes")
    assert said.code == 6, said.err
    assert "moved since the plan was made" in said.err
    assert not told.prefix().exists()
