import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from edgeform.apply.outcome import Committed, TurnedBack, Unchanged
from edgeform.rollout.journal import Journal, JournalUnusable

PLAN = "sha256:" + "a" * 64


def committed(device):
    return Committed(device=device, from_generation=1, to_generation=2, receipt=None, seconds=1.0)


def turned_back(device):
    return TurnedBack(
        device=device, from_generation=2, to_generation=1, reason="golden", receipt=None
    )


def test_resume_knows_which_devices_are_done(tmp_path):
    with Journal(tmp_path / "journal.db") as journal:
        run = journal.begin(plan_digest=PLAN, who="me", now="t0", devices=["a", "b", "c", "d"])
        journal.touched(run, "a", transaction="x1", now="t1")
        journal.ended(run, committed("a"), now="t2")
        journal.ended(run, turned_back("b"), now="t2")
        journal.ended(run, Unchanged(device="d", generation=2), now="t2")
    with Journal(tmp_path / "journal.db") as journal:
        assert journal.committed_before(PLAN) == {"a", "d"}
        assert journal.committed_before("sha256:" + "b" * 64) == frozenset()
        assert {t.device: t.state for t in journal.turns(run)} == {
            "a": "committed",
            "b": "rolled back",
            "c": "waiting",
            "d": "unchanged",
        }


def test_what_was_written_survives_the_death_of_the_controller(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from edgeform.apply.outcome import Committed\n"
        "from edgeform.rollout.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        f"run = journal.begin(plan_digest={PLAN!r}, who='me', now='t', devices=['a', 'b'])\n"
        "journal.touched(run, 'b', transaction=None, now='t')\n"
        "journal.ended(run, Committed(device='a', from_generation=1, to_generation=2, receipt=None,"
        " seconds=1.0), now='t')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "journal.db"
    died = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    with Journal(path) as journal:
        assert journal.committed_before(PLAN) == {"a"}
        run = journal.last_run(PLAN)
        assert [t.state for t in journal.turns(run)] == ["committed", "touched"]


def test_a_journal_of_a_newer_edgeform_is_refused_in_words(tmp_path):
    path = tmp_path / "journal.db"
    Journal(path).__exit__(None, None, None)
    db = sqlite3.connect(path)
    db.execute("UPDATE format SET version = 99")
    db.commit()
    db.close()
    with pytest.raises(JournalUnusable, match="format 99"):
        Journal(path)


def test_a_file_that_is_no_journal_is_refused_and_kept(tmp_path):
    path = tmp_path / "journal.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(JournalUnusable, match="cannot be used"):
        Journal(path)
    assert path.read_bytes() == b"not a database" * 100
    assert os.listdir(tmp_path) == ["journal.db"]


def test_looking_makes_nothing_and_changes_nothing(tmp_path):
    path = tmp_path / "journal.db"
    with pytest.raises(JournalUnusable, match="cannot be used"):
        Journal(path, may_write=False)
    assert os.listdir(tmp_path) == []
    with Journal(path) as journal:
        run = journal.begin(plan_digest=PLAN, who="me", now="t0", devices=["a"])
        with Journal(path, may_write=False) as looked:
            assert [t.state for t in looked.turns(run)] == ["waiting"]
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                looked.touched(run, "a", transaction=None, now="t1")


def test_a_journal_is_read_while_an_apply_holds_its_lock(tmp_path):
    path = tmp_path / "journal.db"
    with Journal(path) as journal:
        run = journal.begin(plan_digest=PLAN, who="me", now="t0", devices=["a"])
        journal._db.execute("BEGIN EXCLUSIVE")
        journal._db.execute("UPDATE turns SET state = 'touched'")
        with Journal(path, may_write=False) as looked:
            assert [t.state for t in looked.turns(run)] == ["waiting"], "as it was before"
        journal._db.execute("COMMIT")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_journal_in_a_folder_mounted_read_only_is_read(tmp_path):
    folder, seen = tmp_path / "site", tmp_path / "stick"
    seen.mkdir()
    with Journal(folder / "journal.db") as journal:
        run = journal.begin(plan_digest=PLAN, who="me", now="t0", devices=["a"])
    program = (
        "from pathlib import Path; from edgeform.rollout.journal import Journal\n"
        f"with Journal(Path({str(seen / 'journal.db')!r}), may_write=False) as j:\n"
        f"    print(j.turns({run})[0].state)"
    )
    mount = f'mount --bind {folder} {seen} && mount -o remount,bind,ro {seen} && exec {sys.executable} -c "$1"'
    done = subprocess.run(
        ("unshare", "--mount", "sh", "-c", mount, "sh", program),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")
    assert (done.returncode, done.stdout) == (0, "waiting\n"), done.stderr
