"""What a process may still take, from trees that stand for both hierarchies of control groups."""

from edgeform_device.cgroup import headroom_bytes

MIB = 2**20


def planted(root, group, folder, files):
    (root / "proc/7").mkdir(parents=True, exist_ok=True)
    (root / "proc/7/cgroup").write_text(group)
    place = root / "sys/fs/cgroup" / folder
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name).write_text(text)


def v2(limit, used, cache=0):
    stat = f"anon 1\ninactive_file {cache}\nactive_file 5\n"
    return {"memory.max": f"{limit}\n", "memory.current": f"{used}\n", "memory.stat": stat}


def test_page_cache_that_can_be_had_back_is_not_taken(tmp_path):
    group = "0::/system.slice/edgeform-pipeline@cam.service\n"
    folder = "system.slice/edgeform-pipeline@cam.service"
    planted(tmp_path, group, folder, v2(100 * MIB, 80 * MIB, 30 * MIB))
    assert headroom_bytes(7, str(tmp_path)) == 50 * MIB


def test_the_tightest_group_on_the_way_counts(tmp_path):
    planted(tmp_path, "0::/a/b\n", "a/b", v2(100 * MIB, 10 * MIB))
    planted(tmp_path, "0::/a/b\n", "a", v2(60 * MIB, 40 * MIB))
    assert headroom_bytes(7, str(tmp_path)) == 20 * MIB


def test_without_a_limit_nothing_is_said(tmp_path):
    planted(tmp_path, "0::/a\n", "a", v2("max", 10 * MIB))
    assert headroom_bytes(7, str(tmp_path)) is None
    assert headroom_bytes(8, str(tmp_path)) is None


def test_the_first_hierarchy_is_read_too(tmp_path):
    files = {
        "memory.limit_in_bytes": f"{100 * MIB}\n",
        "memory.usage_in_bytes": f"{90 * MIB}\n",
        "memory.stat": f"cache 1\ntotal_inactive_file {5 * MIB}\n",
    }
    planted(tmp_path, "5:cpu,cpuacct:/x\n4:memory:/x\n", "memory/x", files)
    unlimited = {"memory.limit_in_bytes": "9223372036854771712\n", "memory.usage_in_bytes": "1\n"}
    planted(tmp_path, "5:cpu,cpuacct:/x\n4:memory:/x\n", "memory", unlimited)
    assert headroom_bytes(7, str(tmp_path)) == 15 * MIB


def test_a_group_above_its_limit_has_nothing_left(tmp_path):
    planted(tmp_path, "0::/a\n", "a", v2(10 * MIB, 30 * MIB))
    assert headroom_bytes(7, str(tmp_path)) == 0
