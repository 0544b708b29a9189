"""A power cut before any system call, with any legal loss, then another one inside recovery.

The transaction, the decision and recovery are the real code; the medium is a model (support.memdisk).
Each mutant is a mistake that real updaters have made, and the model must see it.
"""

import os

import pytest
from support.crashmodel import Killed, explore, has_violation
from support.memdisk import Dir, File, MemoryDisk
from support.stories import STORIES, activated
from support.transact import a_device_at, a_generation

from edgeform_device import debs, decide, hotswap, recovery, settle


@pytest.mark.parametrize("name", STORIES)
def test_every_cut_leaves_the_old_or_the_new_generation(name, record_property):
    report = explore(STORIES[name])
    print(
        f"{name}: {report.first_cuts} first, {report.second_cuts} second cuts, {report.states} states"
    )
    record_property("power_cuts", report.first_cuts + report.second_cuts)
    assert report.first_cuts > 20
    assert report.second_cuts > 20
    assert not report.violations, report.violations.most_common(3)


# Mutants.


class NoFileSync(MemoryDisk):
    def sys_fsync(self, fd):
        if not isinstance(self._open[fd][0], File):
            super().sys_fsync(fd)


class NoDirectorySync(MemoryDisk):
    def sys_fsync(self, fd):
        if not isinstance(self._open[fd][0], Dir):
            super().sys_fsync(fd)


class StaleTmpStays(MemoryDisk):
    def replace_link(self, path, target):
        self.sys_symlink(target, path + ".tmp")
        self.sys_rename(path + ".tmp", path)
        self.sync_dir(os.path.dirname(path))


class RemoveThenLink(MemoryDisk):
    def replace_link(self, path, target):
        if self.exists(path):
            self.sys_unlink(path)
        self.sys_symlink(target, path)
        self.sync_dir(os.path.dirname(path))


class RenameBeforeSync(MemoryDisk):
    def write_file(self, path, content, mode=0o644):
        fd = self.sys_open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        self.sys_write(fd, content)
        self.sys_rename(path + ".tmp", path)
        self.sys_fsync(fd)
        self.sys_close(fd)
        self.sync_dir(os.path.dirname(path))


class WriteInPlace(MemoryDisk):
    def write_file(self, path, content, mode=0o644):
        fd = self.sys_open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        self.sys_write(fd, content)
        self.sys_fsync(fd)
        self.sys_close(fd)
        self.sync_dir(os.path.dirname(path))


def found_by_some_story(make_disk=MemoryDisk, stories=tuple(STORIES)):
    return any(has_violation(STORIES[name], make_disk) for name in stories)


@pytest.mark.parametrize(
    "mutant",
    [NoFileSync, NoDirectorySync, StaleTmpStays, RemoveThenLink, RenameBeforeSync, WriteInPlace],
)
def test_the_model_sees_a_disk_that_is_careless(mutant):
    assert found_by_some_story(mutant)


def test_the_model_sees_a_recovery_that_stands_behind_the_link(monkeypatch):
    whole = recovery.recover

    def behind_current(env, *, is_dry_run=False):
        # Its code would be found through `current`; where that names nothing, nothing runs.
        if env.disk.exists(env.layout.current):
            return whole(env, is_dry_run=is_dry_run)
        return recovery.Recovered(())

    monkeypatch.setattr(recovery, "recover", behind_current)
    assert found_by_some_story(stories=["first install"])


def test_the_model_sees_success_that_is_told_too_early(monkeypatch):
    whole = settle.finish_commit

    def early(env, txn):
        class Later:
            def write_committed(self, record):
                self.record = record

        later = Later()
        monkeypatch.setattr(settle.State, "write_committed", lambda _, r: later.write_committed(r))
        outcome = whole(env, txn)
        monkeypatch.undo()
        monkeypatch.setattr(settle, "finish_commit", early)
        if hasattr(later, "record"):
            settle.State(env.disk, env.layout).write_committed(later.record)
        return outcome

    monkeypatch.setattr(settle, "finish_commit", early)
    assert found_by_some_story()


def test_the_model_sees_a_recovery_that_trusts_the_link(monkeypatch):
    monkeypatch.setattr(recovery._Recovery, "_repoint", lambda self, committed: None)
    monkeypatch.setattr(settle, "point_to", lambda env, number: None)
    assert found_by_some_story()


# Models in the memory of a process that a cut of the transaction leaves alive.


def test_the_model_sees_a_swap_that_nobody_takes_back(monkeypatch):
    monkeypatch.setattr(hotswap, "_swapped_back", lambda env, name, wanted: True)
    assert found_by_some_story(stories=["turned back"])


def test_the_model_sees_a_swap_that_is_only_believed(monkeypatch):
    monkeypatch.setattr(hotswap, "take_over", lambda env, before, after, number: {"cam": "surely"})
    assert found_by_some_story(stories=["commit"])


def test_the_model_sees_a_second_model_that_stays_in_memory(monkeypatch):
    monkeypatch.setattr(hotswap, "free_previous", lambda env, content: None)
    assert found_by_some_story(stories=["commit"])


# Driver packages, which are changed in place, before anything is switched.


def test_the_model_sees_a_cut_installation_that_nobody_takes_back(monkeypatch):
    monkeypatch.setattr(debs.Drivers, "undo_cut", lambda self: "")
    assert found_by_some_story(stories=["drivers first"])


def test_the_model_sees_an_installation_that_begins_before_its_way_back_is_written(monkeypatch):
    monkeypatch.setattr(debs.Drivers, "_write", lambda self, record: None)
    assert found_by_some_story(stories=["drivers first"])


def test_the_model_sees_a_way_back_that_is_forgotten_before_it_is_gone(monkeypatch):
    whole = debs.Drivers._restore

    def forgets_first(self, record, why):
        self._disk.remove(self._path)
        whole(self, record, why)

    monkeypatch.setattr(debs.Drivers, "_restore", forgets_first)
    assert found_by_some_story(stories=["drivers that do not verify"])


# The decision.


def winners(decide_by_rename, at_call):
    """Two decide at once: the second one from first to last before a system call of the first."""
    world = a_device_at(a_generation(model=1))
    wins = []

    def stop():
        if world.state.txn() is not None:
            raise Killed

    world.clock.on_sleep.append(stop)
    with pytest.raises(Killed):
        activated(world, confirm="controller")
    calls = [0]

    def other(name, path):
        calls[0] += 1
        if calls[0] == at_call:
            world.disk.before_call = lambda name, path: None
            if decide_by_rename(world.disk, world.layout, is_commit=False):
                wins.append("revert")

    world.disk.before_call = other
    if decide_by_rename(world.disk, world.layout, is_commit=True):
        wins.append("commit")
    return wins, calls[0]


def check_then_write(disk, layout, *, is_commit):
    content = disk.read(layout.txn)
    if content is None:
        return False
    disk.write_file(layout.txn_commit if is_commit else layout.txn_revert, content)
    disk.remove(layout.txn)
    return True


def test_two_who_decide_at_once_have_one_winner_at_every_interleaving():
    for at_call in range(1, 10):
        wins, calls = winners(decide.decide_by_rename, at_call)
        assert len(wins) == 1, (at_call, wins)
    assert calls >= 2, "the decision has a rename and an fsync to interleave with"


def test_a_decision_that_checks_and_then_writes_has_two_winners():
    assert any(len(winners(check_then_write, at_call)[0]) == 2 for at_call in range(1, 10))


def test_the_model_sees_a_decision_that_checks_and_then_writes(monkeypatch):
    monkeypatch.setattr(decide, "decide_by_rename", check_then_write)
    monkeypatch.setattr(settle, "decide_by_rename", check_then_write)
    assert found_by_some_story()
