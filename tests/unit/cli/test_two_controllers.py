"""Two controllers, one Git repository, both pushing: no receipt is lost, doubled, or silently replaced."""

import os
import shutil
import subprocess

import pytest
from support.here import write_receipt

from edgeform_device.receipts import faults

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
WHO = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@localhost"}
WHO |= {k.replace("AUTHOR", "COMMITTER"): v for k, v in WHO.items()}


def git(folder, *words, check=True):
    around = {
        **os.environ,
        **WHO,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }
    done = subprocess.run(
        ("git", "-C", folder, *words), capture_output=True, text=True, env=around, check=False
    )
    assert not check or done.returncode == 0, done
    return done


@pytest.fixture
def controllers(here):
    """(folder of a, folder of b): two clones of one repository, each with a journal of its own."""
    assert here.run("enroll", "here-1").code == 0
    (here.site / ".gitignore").write_text(".edgeform/\n")
    git(here.site, "init", "-q", "-b", "main")
    git(here.site, "add", "-A")
    git(here.site, "commit", "-q", "-m", "the site")
    origin = here.folder / "origin.git"
    git(here.folder, "init", "-q", "--bare", "-b", "main", str(origin))
    git(here.site, "remote", "add", "origin", str(origin))
    git(here.site, "push", "-q", "-u", "origin", "main")
    git(here.folder, "clone", "-q", str(origin), "b")
    return here.site, here.folder / "b"


def reports(here, folder):
    """Fetch, prove, export, commit: what a controller's schedule does."""
    said = here.run("receipts", "here-1", "--export", inside=folder.name)
    if said.code == 0:
        git(folder, "add", "records")
        git(folder, "commit", "-q", "-m", "records", check=False)
    return said


def chain(folder):
    return (folder / "records/here-1.jsonl").read_bytes()


def test_who_pushes_second_is_stopped_and_the_longer_chain_stands(here, controllers):
    a, b = controllers
    write_receipt(here, "t1")
    assert reports(here, a).code == 0
    write_receipt(here, "t2")
    assert reports(here, b).code == 0
    git(a, "push", "-q")
    late = git(b, "push", "-q", check=False)
    assert late.returncode != 0, "Git lets nobody overwrite what he has not seen"

    merged = git(b, "pull", "-q", "--no-rebase", check=False)
    if merged.returncode:
        before = chain(b)
        assert b"<<<<<<<" in before
        said = here.run("receipts", "here-1", "--export", inside="b")
        assert said.code == 12, said
        assert "merge conflict of Git" in said.err, said
        assert chain(b) == before, "a conflict is nobody's but the people's"
        git(b, "checkout", "--ours", "records/here-1.jsonl")
        git(b, "add", "records")
        git(b, "commit", "-q", "--no-edit")
    assert reports(here, b).code == 0
    git(b, "push", "-q")
    git(a, "pull", "-q", "--no-rebase")
    whole = (here.prefix() / "receipts.jsonl").read_bytes()
    assert chain(a) == chain(b) == whole
    key = (a / "records/here-1.key.pem").read_text()
    assert faults(whole.splitlines(), key) == ()
    assert reports(here, a).code == 0
    assert chain(a) == whole, "an older journal never shortens the file"


def test_both_exporting_the_same_is_no_conflict(here, controllers):
    a, b = controllers
    write_receipt(here, "t1")
    for folder in (a, b):
        assert reports(here, folder).code == 0
    git(a, "push", "-q")
    git(b, "pull", "-q", "--no-rebase")
    git(b, "push", "-q")
    assert chain(a) == chain(b)


@pytest.mark.slow
def test_a_history_that_somebody_rewrote_is_named_and_left(here, controllers):
    """A force-push that takes away or alters what was reported does not take it out of anybody's journal."""
    a, b = controllers
    for name in ("t1", "t2"):
        write_receipt(here, name)
    assert reports(here, a).code == 0
    git(a, "push", "-q")
    git(b, "pull", "-q", "--no-rebase")
    file = b / "records/here-1.jsonl"
    file.write_bytes(chain(b).replace(b'"deployment":1', b'"deployment":7'))
    git(b, "commit", "-q", "-a", "--amend", "--no-edit")
    git(b, "push", "-q", "--force")
    git(a, "fetch", "-q")
    git(a, "reset", "-q", "--hard", "origin/main")
    before = chain(a)
    said = here.run("receipts", "here-1", "--export", inside=a.name)
    assert said.code == 12, said
    assert "hold another receipt there" in said.err
    assert chain(a) == before
    file = a / "records/here-1.jsonl"
    file.write_bytes(b"")
    assert here.run("receipts", "here-1", "--export", inside=a.name).code == 0
    assert chain(a) == (here.prefix() / "receipts.jsonl").read_bytes(), "what was cut off is back"
