"""Runtime closures, built for real from locked wheels, and run."""

import errno
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.runtime import MODEL, some_stages

from edgeform.build import closure
from edgeform.build.closure import ClosureRequest, build_closure, pins, platform_of
from edgeform.build.elf import needed
from edgeform.build.failure import BuildFailed, ClosureUnavailable
from edgeform.build.goldens import GoldenRequest, RuntimeProcess, complete_goldens
from edgeform.domain.stages.extras import EXTRAS
from edgeform_wire import artifact


def a_request(**changes):
    fields = {"engine": "onnxruntime", "arch": "x86_64", "glibc": "2.36", "python": "3.11"}
    return ClosureRequest(**(fields | changes))


def test_two_builds_give_the_same_artifact(packages, sink, tmp_path):
    said = []
    first = build_closure(a_request(), sink, tmp_path / "one", said.append)
    second = build_closure(a_request(glibc="2.31"), sink, tmp_path / "elsewhere" / "two")
    assert first.digest == second.digest
    assert first.encoded() == second.encoded()
    assert artifact.decode(first.encoded()) == first
    assert said[0] == "installing numpy, onnxruntime, pillow, paho-mqtt for x86_64"
    stored = {p.name for p in sink.root.iterdir()}
    assert stored == {f.digest.removeprefix("sha256:") for f in first.files}
    assert list((tmp_path / "one").iterdir()) == []


def test_the_manifest_says_what_the_closure_is_and_needs(packages, sink, tmp_path):
    found = build_closure(a_request(), sink, tmp_path)
    assert (found.kind, found.name) == ("runtime", "onnxruntime")
    assert found.variant == "x86_64-glibc2.28-py3.11"
    requires = found.requires
    assert (requires.arch, requires.glibc, requires.python) == ("x86_64", "2.28", "3.11")
    assert found.metadata["engine"] == "onnxruntime"
    assert found.metadata["engine_version"] == "1.32.0"
    assert set(found.metadata["packages"]) == {
        "numpy",
        "onnxruntime",
        "pillow",
        "paho-mqtt",
        "edgeform",
    }
    paths = {f.path for f in found.files}
    assert "lib/edgeform_runtime/__main__.py" in paths
    assert "lib/edgeform_wire/frames.py" in paths
    assert all(p.startswith("lib/") for p in paths)
    assert found.size_bytes < 110_000_000


def test_nothing_is_carried_that_inference_does_not_need(closure_tree):
    for path in closure_tree.rglob("*"):
        assert path.suffix not in (".pyi", ".pyc", ".h", ".a"), path
        assert path.name not in ("tests", "include", "RECORD", "direct_url.json", "bin"), path
        assert not path.is_symlink(), path
    assert not list(closure_tree.glob("lib/onnxruntime/capi/libonnxruntime.so*"))
    assert not list(closure_tree.glob("lib/pillow.libs/libavif*"))
    assert list(closure_tree.glob("lib/*.dist-info/licenses"))


def test_every_bundled_library_is_asked_for_and_every_asked_one_is_bundled_or_the_systems(
    closure_tree,
):
    binaries = [p for p in closure_tree.rglob("*") if ".so" in p.name]
    asked = {name for p in binaries for name in needed(p)}
    bundled = {p.name for p in binaries if p.parent.name.endswith(".libs")}
    assert bundled <= asked
    system = {
        name for name in asked if "-" not in name.partition(".so")[0] or name.startswith("ld-")
    }
    assert asked - bundled <= system


def same_machine():
    libc, version = platform.libc_ver()
    return (
        platform.machine() == "x86_64"
        and libc == "glibc"
        and tuple(map(int, version.split("."))) >= (2, 28)
        and sys.version_info[:2] == (3, 11)
    )


@pytest.mark.skipif(not same_machine(), reason="the closure is for x86_64, glibc 2.28, Python 3.11")
def test_the_closure_runs_alone_and_gives_the_goldens_that_are_checked_in(closure_tree, tmp_path):
    """Isolated from this environment: `-s`, only the closure on the path, nothing else importable."""
    base = Path(sys.base_prefix) / "bin" / "python3.11"
    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    before = {p.name: p.read_bytes() for p in (model / "golden").iterdir()}
    complete_goldens(
        GoldenRequest(
            model=model,
            stages=some_stages(),
            engine="onnxruntime",
            engine_version=dict(pins(closure.lock_of(a_request())))["onnxruntime"],
            precision="f32",
            runtime=RuntimeProcess(python=str(base), lib=closure_tree / "lib"),
        )
    )
    after = {p.name: p.read_bytes() for p in (model / "golden").iterdir()}
    assert set(after) == set(before)
    told = subprocess.run(
        (
            str(base),
            "-s",
            "-c",
            "import numpy, PIL, edgeform_runtime as e; print(numpy.__file__, e.__file__)",
        ),
        env={"PYTHONPATH": str(closure_tree / "lib"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told.count(str(closure_tree)) == 2


@pytest.mark.parametrize(
    ("arch", "glibc", "python", "engine"),
    [("aarch64", "2.36", "3.11", "1.32.0"), ("aarch64", "2.35", "3.10", "1.23.2")],
)
def test_closures_for_other_machines_are_built_here(
    packages, sink, tmp_path, arch, glibc, python, engine
):
    found = build_closure(a_request(arch=arch, glibc=glibc, python=python), sink, tmp_path)
    assert found.metadata["engine_version"] == engine
    assert found.requires.arch == arch
    tag = f"cpython-{python.replace('.', '')}-{arch}-linux-gnu.so"
    binaries = [f.path for f in found.files if "cpython-" in f.path]
    assert binaries
    assert all(p.endswith(tag) for p in binaries)


USES = {
    "gpio": "import gpiod; print(gpiod.is_gpiochip_device('/dev/null'))",
    "opcua": "import asyncua; print(asyncua.Client('opc.tcp://127.0.0.1:1').server_url.port)",
    "video": "import av; print('rtsp' in av.formats_available)",
}


def test_a_closure_holds_what_stages_ask_for_and_is_another_one(packages, sink, tmp_path):
    found = build_closure(a_request(extras=("gpio", "opcua", "video")), sink, tmp_path / "work")
    assert found.variant == "x86_64-glibc2.34-py3.11+gpio+opcua+video"
    assert found.metadata["extras"] == ["gpio", "opcua", "video"]
    assert artifact.decode(found.encoded()) == found
    for file in found.files:
        target = tmp_path / "tree" / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(sink.root / file.digest.removeprefix("sha256:"))
    env = {"PYTHONPATH": str(tmp_path / "tree" / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}
    said = {
        name: subprocess.run(
            ("python3", "-S", "-c", use), env=env, capture_output=True, text=True, check=True
        ).stdout.strip()
        for name, use in USES.items()
    }
    assert said == {"gpio": "False", "opcua": "1", "video": "True"}


def test_a_stage_extra_without_a_lock_for_a_python_is_refused_with_those_there_are():
    with pytest.raises(ClosureUnavailable, match=r"stage extra gpio for Python 3\.8") as caught:
        closure.lock_of(a_request(engine="tensorrt", python="3.8", extras=("gpio",)))
    assert caught.value.hint == "There is one for Python 3.9, 3.10, 3.11, 3.12, 3.13, 3.14."


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.14"])
@pytest.mark.parametrize("extra", EXTRAS)
def test_every_stage_extra_has_wheels_for_arm(packages, sink, tmp_path, extra, python):
    found = build_closure(a_request(arch="aarch64", python=python, extras=(extra,)), sink, tmp_path)
    assert found.variant.endswith(f"py{python}+{extra}")


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
@pytest.mark.parametrize(
    ("engine", "version"),
    [
        ("openvino", "2026.4.1"),
        ("litert", "2.3.0"),
        ("tflite", "2.14.0"),
        ("tensorrt", "host"),
        ("hailort", "host"),
        ("neuron", "host"),
    ],
)
def test_every_engine_has_a_closure_for_both_architectures(
    packages, sink, tmp_path, engine, version, arch
):
    found = build_closure(a_request(engine=engine, arch=arch), sink, tmp_path)
    assert (found.name, found.metadata["engine_version"]) == (engine, version)
    assert found.requires.arch == arch
    paths = {f.path for f in found.files}
    assert f"lib/edgeform_runtime/engines/{engine}.py" in paths
    # In numpy 1 `core` is the library, in numpy 2 it holds old names only.
    assert any(
        p.startswith(("lib/numpy/core/_multiarray", "lib/numpy/_core/_multiarray")) for p in paths
    )
    assert not any("telemetry" in p for p in paths)


@pytest.mark.parametrize(
    ("glibc", "expected"),
    [("2.17", 17), ("2.27", 17), ("2.28", 28), ("2.30", 28), ("2.31", 31), ("2.41", 40)],
)
def test_the_platform_is_the_newest_that_the_device_can_run(glibc, expected):
    assert platform_of("aarch64", glibc) == f"aarch64-manylinux_2_{expected}"


@pytest.mark.parametrize("glibc", ["2.5", "musl", "", "3.1"])
def test_a_glibc_without_any_wheel_is_said(glibc):
    with pytest.raises(ClosureUnavailable, match="glibc"):
        platform_of("x86_64", glibc)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arch": "armv7l"}, "No onnxruntime wheels exist for armv7l"),
        ({"python": "3.8"}, "no lock for onnxruntime on Python 3.8"),
        ({"engine": "caffe"}, "no lock for caffe"),
        ({"engine": "tflite", "python": "3.12"}, "no lock for tflite on Python 3.12"),
    ],
)
def test_what_has_no_lock_is_refused_with_what_there_is(sink, tmp_path, changes, words):
    with pytest.raises(ClosureUnavailable, match=words) as caught:
        build_closure(a_request(**changes), sink, tmp_path / "work")
    assert caught.value.hint
    assert caught.value.exit_code == 3
    assert not (tmp_path / "work").exists()


def test_a_package_without_a_wheel_for_the_device_is_named(packages, sink, tmp_path):
    with pytest.raises(
        ClosureUnavailable, match=r"numpy 2\.4\.6 has no wheel for x86_64-manylinux_2_17"
    ):
        build_closure(a_request(glibc="2.17"), sink, tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []
    assert list(sink.root.iterdir()) == []


def test_no_network_and_no_cache_is_said_with_what_to_do(sink, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(BuildFailed, match="package index cannot be reached") as caught:
        build_closure(a_request(), sink, tmp_path / "work")
    assert caught.value.exit_code == 13
    assert list((tmp_path / "work").iterdir()) == []


def test_bytes_that_are_not_the_locked_ones_are_refused(packages, sink, tmp_path, monkeypatch):
    lock = closure.lock_of(a_request())
    forged = "\n".join(
        line[:-20] + "0" * 18 + line[-2:] if "--hash" in line and line.endswith("\\") else line
        for line in lock.splitlines()
    )
    monkeypatch.setattr(closure, "lock_of", lambda _: forged)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(BuildFailed, match="bytes are not those"):
        build_closure(a_request(), sink, tmp_path / "work")
    assert list(sink.root.iterdir()) == []


def test_without_uv_the_remedy_is_named(monkeypatch, sink, tmp_path):
    monkeypatch.setattr(closure.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildFailed, match="uv is not installed") as caught:
        build_closure(a_request(), sink, tmp_path / "work")
    assert "pip install uv" in caught.value.hint


class FullSink:
    def put(self, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/store/blob")


def test_a_full_store_is_said_and_the_work_directory_left_clean(packages, tmp_path):
    with pytest.raises(BuildFailed, match="The disk is full") as caught:
        build_closure(a_request(), FullSink(), tmp_path / "work")
    assert caught.value.address == "/store/blob"
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system of its own needs root")
def test_a_full_disk_under_the_work_directory_is_said(packages, sink, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(small)), check=False
    )
    if mounted.returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        with pytest.raises(BuildFailed, match="disk is full"):
            build_closure(a_request(), sink, small / "work")
        assert list((small / "work").iterdir()) == []
        assert list(sink.root.iterdir()) == []
    finally:
        subprocess.run(("umount", str(small)), check=True)


def test_locks_name_hashes_and_no_host():
    locks = Path(closure.__file__).parent / "locks"
    for path in sorted((*locks.glob("*.txt"), *locks.glob("extras/*.txt"))):
        text = path.read_text()
        if path.parent == locks:
            assert len(pins(text)) == (2 if path.name.startswith("host-") else 3), path
        assert text.count("--hash=sha256:") >= len(pins(text)) >= 1
        assert "://" not in text
