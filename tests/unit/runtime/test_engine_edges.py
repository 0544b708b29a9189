"""Around the engines: integers at a model's edge, threads within the quota, Hailo's headers."""

import struct

import numpy as np
import pytest

from edgeform_runtime import hef
from edgeform_runtime.engines.base import TensorSpec
from edgeform_runtime.engines.quantised import to_integers, to_reals
from edgeform_runtime.errors import ModelRefused
from edgeform_runtime.quota import allowed_threads, cpu_quota

X = TensorSpec(name="x", dtype="int8", shape=(1, 5), scale=0.25, zero_point=-10)


def test_reals_become_the_integers_that_stand_for_them_clipped_at_the_ends():
    reals = np.asarray([[0.0, 0.25, -1.0, 1000.0, -1000.0]], np.float32)
    integers = to_integers(reals, X)
    assert integers.dtype == np.int8
    assert integers.tolist() == [[-10, -9, -14, 127, -128]]
    back = to_reals((X,), {"x": integers})["x"]
    assert back.tolist() == [[0.0, 0.25, -1.0, 34.25, -29.5]]


def test_tensors_without_a_scale_stay_as_they_are():
    plain = TensorSpec(name="y", dtype="int64", shape=(2,))
    ids = np.asarray([3, 4])
    assert to_reals((plain,), {"y": ids})["y"] is ids
    assert to_integers(ids, plain) is ids


@pytest.fixture
def cgroups(tmp_path):
    def of(**limits):
        root = tmp_path / "cgroup"
        for path, limit in limits.items():
            folder = root.joinpath(*path.split("__")) if path != "root" else root
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "cpu.max").write_text(limit)
        own = tmp_path / "self"
        own.write_text("1:name=systemd:/old\n0::/edgeform.slice/gate.service\n")
        return str(root), str(own)

    return of


def test_threads_stay_below_the_quota_of_every_group_above(cgroups):
    where = cgroups(**{"edgeform.slice": "150000 100000\n"})
    assert cpu_quota(*where) == 1.5
    assert allowed_threads(1, *where) == 1
    assert allowed_threads(64, *where) <= 2


def test_the_tightest_group_counts(cgroups):
    where = cgroups(
        **{"edgeform.slice": "400000 100000", "edgeform.slice__gate.service": "50000 100000"}
    )
    assert cpu_quota(*where) == 0.5
    assert allowed_threads(8, *where) == 1


def test_no_limit_and_no_groups_leave_what_was_asked_up_to_the_cores(cgroups, tmp_path):
    assert cpu_quota(*cgroups(**{"edgeform.slice": "max 100000"})) is None
    assert cpu_quota(str(tmp_path), str(tmp_path / "absent")) is None
    assert allowed_threads(1, str(tmp_path), str(tmp_path / "absent")) == 1


def a_hef(architecture=3, version=0, *, cut=0, magic=hef.MAGIC):
    header = b"" if architecture == 0 else bytes([8, architecture])
    message = bytes([10, len(header)]) + header + bytes([26, 3]) + b"abc"
    tails = {0: 20, 1: 16, 2: 32, 3: 44}
    whole = struct.pack(">III", magic, version, len(message)) + bytes(tails[version]) + message
    return whole[: len(whole) - cut]


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize(("number", "name"), [(0, "hailo-8"), (3, "hailo-8l"), (5, "hailo-10h")])
def test_a_hef_names_its_architecture(version, number, name):
    assert hef.read(a_hef(number, version), "model.hef") == hef.HefFile(name, version)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a HEF"),
        (b"edgeform site/factory: NOT A MODEL", "is not a HEF"),
        (a_hef(cut=1), "cut short"),
        (a_hef(77), "architecture 77, which is not known"),
        (a_hef(magic=1), "is not a HEF"),
        (struct.pack(">III", hef.MAGIC, 9, 4) + bytes(100), "HEF format 9"),
        (struct.pack(">III", hef.MAGIC, 1, 3) + bytes(16) + b"\x0a\x09\x08", "damaged"),
        (struct.pack(">III", hef.MAGIC, 1, 3) + bytes(16) + b"\xff\xff\xff", "damaged"),
    ],
)
def test_what_is_no_hef_is_refused(content, words):
    with pytest.raises(ModelRefused, match=words):
        hef.read(content, "model.hef")
