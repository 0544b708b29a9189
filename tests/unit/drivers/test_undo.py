"""The saving and restoring commands, run for real in a directory where they can do no harm."""

import subprocess

from support.facts import facts

from edgeform.domain.drivers import DriverTuple, Package, UdevRule, VendorRole
from edgeform.drivers import undo


def test_only_packages_that_move_are_saved_and_only_new_ones_are_purged():
    wanted = DriverTuple(
        packages=(
            Package(name="moves", version="2"),
            Package(name="stays", version="1"),
            Package(name="new", version="1"),
            Package(name="any"),
        )
    )
    before = facts(packages=(("moves", "1"), ("stays", "1"), ("any", "5")))
    saved = undo.prepare("/p", wanted, before)
    assert [c[-1] for c in saved.save if c in saved.optional] == ["moves=1"]
    assert ("dpkg", "--purge", "--force-hold", "new") in saved.restore
    assert [c[-1] for c in saved.restore if "dpkg --install" in " ".join(c)] == ["moves"]


def test_a_file_comes_back_as_it_was_and_a_new_one_goes(tmp_path):
    old, new = tmp_path / "old.rules", tmp_path / "new.rules"
    old.write_text("before\n")
    kept = tmp_path / "kept"
    kept.mkdir()
    for path in (old, new):
        copy = kept / path.name
        subprocess.run(("sh", "-c", undo._KEEP, "save", path, copy), check=True)
    old.write_text("after\n")
    new.write_text("after\n")
    for path in (old, new):
        subprocess.run(("sh", "-c", undo._KEEP, "restore", kept / path.name, path), check=True)
    assert old.read_text() == "before\n"
    assert not new.exists()


def test_a_module_that_was_loaded_before_stays_loaded():
    wanted = DriverTuple(modules=("a", "b"))
    saved = undo.prepare("/p", wanted, facts(modules=("a",)))
    assert [c for c in saved.restore if c[0] == "modprobe"] == [("modprobe", "-r", "b")]


def test_a_kernel_setting_returns_to_its_value():
    wanted = DriverTuple(sysctl=(("vm.swappiness", "10"), ("net.x", "1")))
    saved = undo.prepare("/p", wanted, facts(sysctl=(("vm.swappiness", "60"), ("net.x", "1"))))
    assert [c[-1] for c in saved.restore if c[0] == "sysctl"] == ["vm.swappiness=60"]


def test_what_has_no_way_back_is_said_before():
    saved = undo.prepare("/p", DriverTuple(vendor_roles=(VendorRole(name="nvidia.l4t"),)), facts())
    assert saved.cannot == ("vendor role nvidia.l4t has no way back",)


def test_rules_are_read_again_after_they_are_restored():
    wanted = DriverTuple(udev_rules=(UdevRule(name="60-x", content="x"),))
    saved = undo.prepare("/p", wanted, facts())
    assert saved.restore[-1] == ("udevadm", "control", "--reload")
