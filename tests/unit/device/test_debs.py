"""Driver packages on a device: real dpkg in a root of its own; in place and verified, or as before, or named."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.private_system import a_deb

from edgeform.build.driver import add_driver
from edgeform.errors import Corrupt as HomeCorrupt
from edgeform.errors import UsageError
from edgeform.store.artifacts import Artifacts
from edgeform.store.objects import Objects
from edgeform_device import debs
from edgeform_device.debs import Drivers
from edgeform_device.errors import NeedsHands, NotTrusted, Refused, RolledBack
from edgeform_wire.driverset import DriverSet

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="dpkg wants root"),
    pytest.mark.skipif(shutil.which("dpkg") is None, reason="no dpkg here"),
]
LIB, DRIVER = "edgeform-test-lib", "edgeform-test-driver"


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """An empty system of Debian packages; dpkg takes it from its own variables."""
    made = tmp_path / "root"
    (made / "var/lib/dpkg/updates").mkdir(parents=True)
    (made / "var/lib/dpkg/info").mkdir()
    (made / "var/lib/dpkg/status").write_text("")
    monkeypatch.setenv("DPKG_ROOT", str(made))
    monkeypatch.setenv("DPKG_ADMINDIR", str(made / "var/lib/dpkg"))
    monkeypatch.setattr(debs, "APT_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture
def an_artifact(device, tmp_path):
    """an_artifact(*debs): their driver artifact, whose tree is on the device."""
    store = Artifacts(Objects(tmp_path / "store"))

    def make(*files, version="1"):
        found = add_driver(store, "camera", version, files)
        tree = Path(device.layout.tree(found.digest))
        tree.mkdir(parents=True)
        for file in found.files:
            shutil.copyfile(store.objects.path(file.digest), tree / file.path)
        return found

    return make


def wanted(artifact, **changed):
    known = {"held": (), "verify": (), "undo": "packages", "reboot": False}
    return DriverSet(artifact=artifact.digest, **(known | changed))


def on(device, boot="boot-1"):
    return Drivers(device.disk, device.layout, boot)


def installed():
    form = "${Package} ${Version} ${db:Status-Want} ${db:Status-Status}\n"
    done = subprocess.run(
        ("dpkg-query", "--show", "--showformat", form), capture_output=True, text=True, check=False
    )
    return sorted(line for line in done.stdout.splitlines() if line.endswith(" installed"))


def is_recorded(device):
    return device.disk.exists(device.layout.state(debs.RECORD))


def test_packages_are_installed_once_with_what_they_depend_on_and_held(
    device, root, tmp_path, an_artifact
):
    lib, driver = a_deb(tmp_path, LIB, "5:3.1"), a_deb(tmp_path, DRIVER, "1.0~rc1", depends=LIB)
    made = an_artifact(driver, lib)
    assert [f.path for f in made.files] == [f"{DRIVER}.deb", f"{LIB}.deb"]
    order = wanted(made, held=(DRIVER,), verify=("test", "-e", str(root / "usr/share" / LIB)))
    on(device).install(made, order, "t1")
    assert installed() == [f"{DRIVER} 1.0~rc1 hold installed", f"{LIB} 5:3.1 install installed"]
    assert not is_recorded(device)
    assert on(device).differing(made) == ()
    on(device).install(made, order, "t2")


def test_what_does_not_verify_is_taken_back_to_the_versions_before(
    device, root, tmp_path, an_artifact
):
    old = an_artifact(a_deb(tmp_path, DRIVER, "1.0"))
    on(device).install(old, wanted(old, held=(DRIVER,)), "t1")
    new = an_artifact(a_deb(tmp_path, DRIVER, "2.0"), a_deb(tmp_path, LIB, "3.1"), version="2")
    with pytest.raises(RolledBack) as caught:
        on(device).install(new, wanted(new, verify=("false",)), "t2")
    assert "those before are in place again" in caught.value.summary
    assert "false exited 1" in caught.value.detail
    assert [line.split()[:2] for line in installed()] == [[DRIVER, "1.0"]]
    assert not is_recorded(device)


def test_a_package_that_cannot_be_configured_is_taken_back_with_dpkgs_words(
    device, root, tmp_path, an_artifact
):
    made = an_artifact(a_deb(tmp_path, DRIVER, "1.0", depends="edgeform-nowhere"))
    with pytest.raises(RolledBack) as caught:
        on(device).install(made, wanted(made), "t1")
    assert "dependency" in caught.value.detail
    assert installed() == []


def test_without_a_way_back_nothing_is_begun_unless_the_site_says_so(
    device, root, tmp_path, an_artifact
):
    before = a_deb(tmp_path, DRIVER, "1.0")
    subprocess.run(("dpkg", "--install", before), check=True, capture_output=True)
    made = an_artifact(a_deb(tmp_path, DRIVER, "2.0"))
    with pytest.raises(Refused) as caught:
        on(device).install(made, wanted(made), "t1")
    assert caught.value.summary.endswith("1.0 would be replaced, and there is no way back to it.")
    assert [line.split()[1] for line in installed()] == ["1.0"]
    with pytest.raises(NeedsHands) as stuck:
        on(device).install(made, wanted(made, undo="none", verify=("false",)), "t2")
    assert "no .deb file of what was there before" in stuck.value.detail
    assert is_recorded(device), "what began is still written down"


def test_apts_own_cache_is_a_way_back(device, root, tmp_path, an_artifact):
    before = a_deb(tmp_path, DRIVER, "1.0")
    subprocess.run(("dpkg", "--install", before), check=True, capture_output=True)
    (tmp_path / "cache").mkdir()
    shutil.copy(before, tmp_path / "cache")
    made = an_artifact(a_deb(tmp_path, DRIVER, "2.0"))
    with pytest.raises(RolledBack):
        on(device).install(made, wanted(made, verify=("false",)), "t1")
    assert [line.split()[1] for line in installed()] == ["1.0"]


@pytest.mark.parametrize("cut", ["before dpkg", "after dpkg"])
def test_an_installation_that_was_cut_is_taken_back_by_whoever_comes_next(
    device, root, tmp_path, an_artifact, monkeypatch, cut
):
    made = an_artifact(a_deb(tmp_path, DRIVER, "1.0"))
    real = debs._failure

    def dies(argv, timeout_s):
        if argv[:2] == ("dpkg", "--install"):
            if cut == "after dpkg":
                real(argv, timeout_s)
            raise KeyboardInterrupt
        return real(argv, timeout_s)

    monkeypatch.setattr(debs, "_failure", dies)
    with pytest.raises(KeyboardInterrupt):
        on(device).install(made, wanted(made), "t1")
    monkeypatch.setattr(debs, "_failure", real)
    assert is_recorded(device)
    assert on(device, "boot-2").undo_cut() == "The driver packages before are in place again."
    assert (installed(), is_recorded(device)) == ([], False)
    assert on(device, "boot-2").undo_cut() == ""


def test_what_takes_a_reboot_is_judged_after_it(device, root, tmp_path, an_artifact):
    made = an_artifact(a_deb(tmp_path, DRIVER, "1.0"))
    order = wanted(made, reboot=True, verify=("test", "-e", str(tmp_path / "hardware")))
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            on(device).install(made, order, "t1")
        assert "take effect after a reboot" in caught.value.summary
        assert on(device).awaits_reboot()
    assert on(device).undo_cut() == "", "it was not cut: it waits"
    assert not on(device, "boot-2").awaits_reboot()
    with pytest.raises(RolledBack):
        on(device, "boot-2").install(made, order, "t2")
    assert installed() == []
    (tmp_path / "hardware").touch()
    with pytest.raises(Refused):
        on(device, "boot-2").install(made, order, "t3")
    on(device, "boot-3").install(made, order, "t4")
    assert [line.split()[1] for line in installed()] == ["1.0"]
    assert not is_recorded(device)


def test_an_artifact_that_names_files_it_has_not_is_not_trusted(
    device, root, tmp_path, an_artifact
):
    from dataclasses import replace

    made = an_artifact(a_deb(tmp_path, DRIVER, "1.0"))
    for metadata in (
        {},
        {"packages": [{"name": "-x", "version": "1", "arch": "all", "file": "x"}]},
    ):
        with pytest.raises(NotTrusted):
            on(device).differing(replace(made, metadata=metadata))
    with pytest.raises(NotTrusted):
        on(device).differing(replace(made, files=()))


def test_only_debian_packages_of_one_architecture_become_an_artifact(tmp_path):
    store = Artifacts(Objects(tmp_path / "store"))
    deb = a_deb(tmp_path, DRIVER, "1.0")
    torn = tmp_path / "torn.deb"
    torn.write_bytes(deb.read_bytes()[:50])
    with pytest.raises(HomeCorrupt):
        add_driver(store, "camera", "1", [torn])
    with pytest.raises(UsageError):
        add_driver(store, "camera", "1", [deb, deb])
    with pytest.raises(UsageError):
        add_driver(store, "camera/1", "1", [deb])
    assert add_driver(store, "camera", "1", [deb]) == add_driver(store, "camera", "1", [deb])
