"""The provision lane against a real dpkg, apt and sshd, on a system that the test may change."""

import threading

import pytest
from support import private_system
from support.sshd import WHY_NOT, SshServer, needs_sshd
from support.transport import a_target

from edgeform.domain.drivers import DriverTuple, Package, PackageSource, UdevRule
from edgeform.domain.observed import Unreachability
from edgeform.transport.base import DeviceUnreachable, Run
from edgeform.transport.pyinfra import PyinfraTransport

_WHY_NOT = private_system.why_not() if needs_sshd else WHY_NOT

pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT)

ARTIFACT = "sha256:" + "ab" * 32


@pytest.fixture(scope="module")
def lane():
    transport = PyinfraTransport(workers=2)
    yield transport
    transport.close()


@pytest.fixture
def device(tmp_path):
    shared = tmp_path / "packages"
    shared.mkdir()
    debs = (
        private_system.a_deb(shared, "edgeform-test-driver", "1.0"),
        private_system.a_deb(shared, "edgeform-test-driver", "2.0", depends="edgeform-test-lib"),
        private_system.a_deb(shared, "edgeform-test-lib", "5:3.1"),
    )
    server = SshServer(tmp_path / "device", inside=private_system.inside(tmp_path / "overlay"))
    with server:
        device = Device(server, shared)
        private_system.demand_isolation(device.sh)
        source = private_system.a_package_server(shared, debs)
        # pytest's directories are closed to apt's sandbox user.
        device.sh(
            f"rm -f /etc/apt/sources.list.d/*; echo '{source}' > /etc/apt/sources.list; "
            "echo 'APT::Sandbox::User \"root\";' > /etc/apt/apt.conf.d/99test"
        )
        yield device
        device.transport.close()


class Device:
    def __init__(self, server, shared):
        self.server = server
        self.shared = shared
        self.transport = PyinfraTransport(workers=1)
        self.prefix = "/var/lib/edgeform-test"
        self.target = a_target(server, "jetson-01", prefix=self.prefix, runtime_user="edgeform-t")

    def sh(self, script):
        finished = self.transport.run(self.target, Run(argv=("sh", "-c", script), timeout_s=60.0))
        assert finished.exit_code == 0, finished
        return finished.stdout.decode()


def provision(lane, device, **drivers):
    heard = []
    steps = lane.provision(device.target, DriverTuple(**drivers), heard.append)
    assert tuple(heard) == steps
    return steps


def flags(steps):
    return [(step.changed, step.succeeded) for step in steps]


def test_a_pinned_package_is_installed_once_and_then_left_alone(lane, device):
    wanted = (Package(name="edgeform-test-driver", version="1.0", hold=True),)
    first = provision(lane, device, packages=wanted)
    assert flags(first) == [(True, True), (True, True)], first
    assert [step.operation for step in first] == [
        "packages edgeform-test-driver=1.0",
        "hold edgeform-test-driver",
    ]
    assert "1.0" in device.sh("dpkg-query -W edgeform-test-driver; apt-mark showhold")
    assert flags(provision(lane, device, packages=wanted)) == [(False, True), (False, True)]


def test_a_held_package_is_changed_when_the_tuple_says_so_and_back_again(lane, device):
    old = (Package(name="edgeform-test-driver", version="1.0", hold=True),)
    new = (
        Package(name="edgeform-test-driver", version="2.0", hold=True),
        Package(name="edgeform-test-lib", version="5:3.1"),
    )
    for wanted in (old, new, old):
        assert all(step.succeeded for step in provision(lane, device, packages=wanted))
        version = device.sh("dpkg-query -W -f '${Version}' edgeform-test-driver")
        assert version == wanted[0].version
    assert "edgeform-test-driver" in device.sh("apt-mark showhold")


def test_deb_files_of_an_artifact_install_without_a_package_server(lane, device):
    device.sh(
        "rm /etc/apt/sources.list; "
        f"d={device.prefix}/trees/{'ab' * 32}; mkdir -p $d; "
        f"cp {device.shared}/*_2.0_all.deb {device.shared}/*_5:3.1_all.deb $d"
    )
    wanted = (Package(name="edgeform-test-driver", version="2.0", source=PackageSource.ARTIFACT),)
    first = provision(lane, device, packages=wanted, artifact=ARTIFACT)
    assert flags(first) == [(True, True)], first
    installed = device.sh("dpkg-query -W edgeform-test-driver edgeform-test-lib")
    assert installed.split() == ["edgeform-test-driver", "2.0", "edgeform-test-lib", "5:3.1"]
    again = provision(lane, device, packages=wanted, artifact=ARTIFACT)
    assert flags(again) == [(False, True)]


def test_an_artifact_without_the_named_package_is_a_failed_step(lane, device):
    wanted = (Package(name="edgeform-test-driver", source=PackageSource.ARTIFACT),)
    (step,) = provision(lane, device, packages=wanted, artifact=ARTIFACT)
    assert not step.succeeded
    assert "holds no .deb file of edgeform-test-driver" in step.detail


def test_a_package_that_nobody_has_is_a_failed_step_with_apts_words_and_ends_the_turn(lane, device):
    steps = provision(
        lane,
        device,
        packages=(Package(name="edgeform-test-absent"),),
        sysctl=(("kernel.domainname", "never"),),
    )
    assert flags(steps) == [(True, False)]
    assert "Unable to locate package edgeform-test-absent" in steps[0].detail


def test_a_device_without_dpkg_gets_a_clear_failed_step(lane, device):
    device.sh("rm /usr/bin/dpkg")
    (step,) = provision(lane, device, packages=(Package(name="edgeform-test-driver"),))
    assert flags([step]) == [(False, False)]
    assert "no dpkg" in step.detail


def test_a_package_name_with_shell_in_it_is_refused(lane, device):
    (step,) = provision(lane, device, packages=(Package(name="x; touch /etc/pwned"),))
    assert not step.succeeded
    assert "is no name of a package" in step.detail
    assert device.sh("test -e /etc/pwned || echo safe") == "safe\n"


def test_rules_groups_and_parameters_are_set_once(lane, device):
    rule = 'KERNEL=="hailo*", GROUP="ai\'s"\n'
    wanted = {
        "udev_rules": (UdevRule(name="99-hailo", content=rule),),
        "groups": ("edgeform-ta", "edgeform-tb"),
        "sysctl": (("kernel.domainname", "edge-test"),),
    }
    first = provision(lane, device, **wanted)
    assert flags(first) == [(True, True)] * 3, first
    assert device.sh("cat /etc/udev/rules.d/99-hailo.rules") == rule
    assert device.sh("ls /etc/udev/rules.d | grep edgeform-new || true") == ""
    assert {"edgeform-ta", "edgeform-tb"} <= set(device.sh("id -nG edgeform-t").split())
    assert device.sh("cat /etc/sysctl.d/60-edgeform.conf") == "kernel.domainname = edge-test\n"
    assert device.sh("/usr/sbin/sysctl -n kernel.domainname") == "edge-test\n"
    assert flags(provision(lane, device, **wanted)) == [(False, True)] * 3


def test_a_module_that_is_there_needs_its_file_only_and_an_unknown_one_fails(lane, device):
    present = device.sh("ls /sys/module | head -1").strip()
    assert flags(provision(lane, device, modules=(present,))) == [(True, True)]
    assert device.sh("cat /etc/modules-load.d/edgeform.conf") == f"{present}\n"
    assert flags(provision(lane, device, modules=(present,))) == [(False, True)]
    (step,) = provision(lane, device, modules=("edgeform_no_such_module",))
    assert not step.succeeded
    assert step.detail


def test_two_classes_at_once_do_not_hear_of_each_other(lane, device):
    # Gotchas 1 and 2: the first operation of one class is another one than that of the other class.
    tuples = {
        "orin": {"packages": (Package(name="edgeform-test-driver", version="1.0"),)},
        "hailo": {"sysctl": (("kernel.domainname", "hailo"),)},
    }
    found = {}

    def work(name):
        found[name] = provision(lane, device, **tuples[name])

    threads = [threading.Thread(target=work, args=(name,)) for name in tuples]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [s.operation for s in found["orin"]] == ["packages edgeform-test-driver=1.0"]
    assert [s.operation for s in found["hailo"]] == ["sysctl kernel.domainname"]
    assert flags(found["orin"]) == flags(found["hailo"]) == [(True, True)]


def test_a_device_that_is_lost_in_between_is_unreachable_and_not_a_failed_step(lane, device):
    heard = []
    # Steps are told while the next one runs: enough of them that it cannot end before it is cut.
    rules = tuple(UdevRule(name=f"rule{n}", content="x\n") for n in range(60))

    def lose(step):
        heard.append(step)
        device.server.stop()

    with pytest.raises(DeviceUnreachable) as caught:
        lane.provision(
            device.target,
            DriverTuple(
                udev_rules=rules,
                packages=(Package(name="edgeform-test-driver"),),
            ),
            lose,
        )
    assert caught.value.reason in {Unreachability.CONNECT, Unreachability.PROTOCOL}
    assert 1 <= len(heard) < len(rules)
