"""What neither stick nor pull brings is refused by name; who knows that it is there says so."""

from dataclasses import replace

import pytest
from support.plan import a_class, a_device, a_lock, a_plan, a_site, a_virgin

from edgeform.cli.travelling import refuse_as_known, refuse_in_plan
from edgeform.cli.workspace import Workspace
from edgeform.domain.drivers import DriverTuple, Package, PackageSource, UdevRule, VendorRole
from edgeform.domain.site import Connect
from edgeform.errors import SpecInvalid, UsageError
from edgeform_wire.digest import of_bytes

STAYING = DriverTuple(
    packages=(Package(name="dkms"),),
    modules=("hailo_pci",),
    udev_rules=(UdevRule(name="60-camera", content="x"),),
    groups=("render",),
    sysctl=(("vm.swappiness", "10"),),
    vendor_roles=(VendorRole(name="acme.camera"),),
)
NAMES = (
    "drivers.packages.dkms", "drivers.modules.hailo_pci", "drivers.udev_rules.60-camera",
    "drivers.groups.render", "drivers.sysctl.vm.swappiness", "drivers.vendor_roles.acme.camera",
)  # fmt: skip
CARRIED = DriverTuple(
    packages=(Package(name="hailort", version="1.0", source=PackageSource.ARTIFACT),),
    artifact=of_bytes(b"driver"),
    reboot=True,
)


def a_far_site(drivers, mode="offline"):
    connect = Connect(host=None, user="edge", mode=mode)
    return a_site(a_device(hardware=a_class(drivers=drivers), connect=connect))


def the_plan(site):
    return a_plan(site, a_lock(), [a_virgin()])


def test_each_part_that_does_not_travel_is_named_with_what_to_do():
    site = a_far_site(STAYING)
    with pytest.raises(SpecInvalid) as caught:
        refuse_in_plan(the_plan(site), site, ())
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.address) == ("EF2116", "devices.cam-01")
    assert all(name in problem.detail for name in NAMES), problem.detail
    assert "--in-place cam-01" in problem.hint
    assert "over SSH once" in problem.hint


def test_a_device_that_is_reached_and_one_that_somebody_vouches_for_are_let_through():
    near, far = a_far_site(STAYING, mode="ssh"), a_far_site(STAYING)
    refuse_in_plan(the_plan(near), near, ())
    refuse_in_plan(the_plan(far), far, ("cam-01",))
    with pytest.raises(UsageError, match="cam-99"):
        refuse_in_plan(the_plan(far), far, ("cam-99",))


def test_a_stick_goes_by_what_is_known_at_home(tmp_path):
    workspace = Workspace(site_dir=tmp_path)
    site = a_far_site(STAYING)
    with pytest.raises(SpecInvalid) as caught:
        refuse_as_known(workspace, site, site.devices, ())
    assert all(name in caught.value.diagnostics[0].detail for name in NAMES)
    refuse_as_known(workspace, site, site.devices, ("cam-01",))
    carried = a_far_site(CARRIED)
    refuse_as_known(workspace, carried, carried.devices, ())
    unnamed = a_far_site(replace(CARRIED, artifact=None))
    with pytest.raises(SpecInvalid) as caught:
        refuse_as_known(workspace, unnamed, unnamed.devices, ())
    assert [p.code for p in caught.value.diagnostics] == ["EF2109"]
