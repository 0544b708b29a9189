"""`edgeform history`, and records in Git that two controllers write."""

import json
import re
import shutil
import sqlite3
from pathlib import Path

import jsonschema
import pytest
from support.locked_here import commit, git
from support.written import a_receipt, an_unsigned_chain

from edgeform.rollout.journal import Journal

REPOSITORY = Path(__file__).parents[3]
RECORDS_PAGE = REPOSITORY / "docs" / "reference" / "records.md"


@pytest.fixture
def told(here):
    """A device with two receipts, archived and exported, in a site under Git."""
    git(here.site, "init", "-q", "-b", "main")
    (here.site / ".gitignore").write_text(".edgeform/\n")
    commit(here.site, "a new camera")
    chain = an_unsigned_chain(
        a_receipt("t1", wall_time="2999-01-01T00:00:00Z"),
        a_receipt("t2", wall_time="2999-01-02T00:00:00Z", result="rolled_back",
                  reason="golden: 3 of 8 differ", from_generation=1, to_generation=2),
    )  # fmt: skip
    with Journal(here.site / ".edgeform/journal.db") as journal:
        journal.keep_receipts("lab", "here-1", chain, now="2999-01-03T00:00:00Z")
    assert here.run("receipts", "here-1", "--offline", "--export").code == 0
    return here


def test_what_happened_newest_first_with_the_commit_before_it(told):
    said = told.run("history", "here-1")
    assert said.code == 0, said.err
    newest, oldest = said.out.splitlines()[1:]
    assert "rolled_back" in newest
    assert "golden: 3 of 8 differ" in newest
    assert "a new camera" in oldest
    head = git(told.site, "rev-parse", "HEAD")[:10]
    assert head in newest
    assert len(told.run("history", "here-1", "-n", "1").out.splitlines()) == 2


def test_history_for_programs_follows_its_schema(told):
    schema = json.loads((REPOSITORY / "schemas" / "history.schema.json").read_text())
    said = told.run("history", "--json")
    assert len(said.objects) == 2
    for found in said.objects:
        jsonschema.validate(found, schema)
    assert said.objects[0]["commit"]["author"] == "A"


def test_a_lost_journal_loses_no_history_that_git_has(told):
    shutil.rmtree(told.site / ".edgeform")
    assert len(told.run("history", "--json").objects) == 2
    assert not (told.site / ".edgeform").exists(), "a reading verb makes no journal"


def test_runs_of_this_machine(told):
    with Journal(told.site / ".edgeform/journal.db") as journal:
        run = journal.begin(
            plan_digest="sha256:0", who="kim", now="2026-03-01T00:00:00Z", devices=("a", "b")
        )
        journal.finish(run, exit_code=9, now="2026-03-01T00:01:00Z")
    said = told.run("history", "--runs", "--json")
    assert said.code == 0, said.err
    (found,) = said.objects
    assert (found["exit_code"], found["counts"], found["who"]) == (9, {"waiting": 2}, "kim")
    jsonschema.validate(found, json.loads((REPOSITORY / "schemas" / "run.schema.json").read_text()))
    assert "2 waiting" in told.run("history", "--runs").out


def test_an_older_journal_never_shortens_the_file_in_git(told):
    file = told.site / "records/here-1.jsonl"
    before = file.read_bytes()
    # Another controller, which has heard of the first receipt only.
    with sqlite3.connect(told.site / ".edgeform/journal.db") as db:
        db.execute("DELETE FROM receipts WHERE seq = 2")
    assert told.run("receipts", "here-1", "--offline", "--export").code == 0
    assert file.read_bytes() == before
    assert len(told.run("history", "--json").objects) == 2


def test_an_older_file_grows(told):
    file = told.site / "records/here-1.jsonl"
    before = file.read_bytes()
    file.write_bytes(before.splitlines(keepends=True)[0])
    assert told.run("receipts", "here-1", "--offline", "--export").code == 0
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: [lines[0].replace(b'"deployment":1', b'"deployment":9'), lines[1]],
        lambda lines: [b"<<<<<<< HEAD\n", *lines, b"=======\n", b">>>>>>> other\n"],
        lambda lines: lines[1:],
    ],
    ids=["edited", "conflict", "first line gone"],
)
def test_a_file_that_tells_another_story_is_named_and_left_alone(told, spoil):
    file = told.site / "records/here-1.jsonl"
    spoiled = b"".join(spoil(file.read_bytes().splitlines(keepends=True)))
    file.write_bytes(spoiled)
    said = told.run("receipts", "here-1", "--offline", "--export")
    assert said.code == 12, said.err
    assert "records/here-1.jsonl, line 1" in said.err
    assert file.read_bytes() == spoiled
    said = told.run("history")
    assert said.code == 12
    assert "line 1" in said.err
    assert said.out.count("committed") == 1, "what devices told this machine is shown all the same"


def test_the_journals_documented_tables_are_the_ones_it_has(tmp_path):
    page = RECORDS_PAGE.read_text()
    with Journal(tmp_path / "journal.db"):
        pass
    with sqlite3.connect(tmp_path / "journal.db") as db:
        tables = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in tables:
            columns = [r[1] for r in db.execute(f"PRAGMA table_info({name})")]
            said = re.search(rf"^\| `{name}` \| (.+?) \|", page, re.MULTILINE)
            assert said, f"docs/reference/records.md lacks the table {name}"
            assert re.findall(r"`(\w+)`", said[1]) == columns
