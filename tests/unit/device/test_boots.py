"""Boots without an orderly shutdown before them are counted, once each, where somebody leaves marks."""

from edgeform_device import boots
from edgeform_device.durable import Disk
from edgeform_device.layout import layout_for
from edgeform_device.systemd import marks_shutdown, recover_unit


def a_place(tmp_path):
    layout = layout_for(str(tmp_path))
    (tmp_path / "state").mkdir()
    return Disk(), layout


def test_a_boot_after_a_power_cut_is_unclean_and_one_after_a_shutdown_is_not(tmp_path):
    disk, layout = a_place(tmp_path)
    for boot in ("first", "first", "cut", "cut"):
        boots.count(disk, layout, boot)
    assert boots.read(disk, layout) == boots.Boots("cut", 2, 1)
    (tmp_path / "state/shut_down").touch()
    boots.count(disk, layout, "after a shutdown")
    boots.count(disk, layout, "cut again")
    assert boots.read(disk, layout) == boots.Boots("cut again", 4, 2)


def test_only_a_unit_that_leaves_the_mark_is_counted_by(tmp_path):
    layout = layout_for(str(tmp_path))
    assert not marks_shutdown(layout, str(tmp_path))
    unit = tmp_path / "edgeform-recover.service"
    unit.write_text(recover_unit(layout, ("/usr/bin/python3", "tool.pyz")))
    assert f"ExecStop=/bin/touch {layout.shut_down}\n" in unit.read_text()
    assert marks_shutdown(layout, str(tmp_path))


def test_a_damaged_count_begins_anew(tmp_path):
    disk, layout = a_place(tmp_path)
    (tmp_path / "state/boots").write_bytes(b"\0\0")
    boots.count(disk, layout, "boot")
    assert boots.read(disk, layout) == boots.Boots("boot", 1, 0)
