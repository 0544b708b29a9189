"""`edgeform report` from the command line: with a look at devices, and from what is archived alone."""

from support.locked_here import commit, git
from support.written import write_receipt


def test_a_page_with_and_without_asking_devices(here, tmp_path):
    page = tmp_path / "fleet.html"
    said = here.run("report", "--out", str(page))
    assert said.code == 0, said.err
    told = page.read_text()
    assert "unreachable" in told
    assert ">new<" in told
    assert "image directory" in told
    said = here.run("report", "--offline")
    assert said.code == 0, said.err
    assert said.out.startswith("<!DOCTYPE html>")
    assert "no device was asked" in said.out
    assert ">unreachable<" not in said.out


def test_what_was_applied_stands_beside_the_commit_and_survives_a_lost_journal(here):
    git(here.site, "init", "-q", "-b", "main")
    (here.site / ".gitignore").write_text(".edgeform/\n")
    commit(here.site, "digits with a new camera")
    assert here.run("enroll", "here-1").code == 0
    write_receipt(here, "t1", wall_time="2999-01-01T00:00:00Z")
    assert here.run("receipts", "here-1", "--export").code == 0
    (here.site / ".edgeform/journal.db").unlink()
    said = here.run("report", "here-1", "--offline")
    assert said.code == 0, said.err
    assert "digits with a new camera" in said.out
    assert ">committed<" in said.out
    assert "unbroken chains" in said.out
