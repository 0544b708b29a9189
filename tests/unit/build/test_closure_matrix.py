"""Which closures there are: each engine, architecture, glibc and Python, against the locks, nothing downloaded."""

import pytest

from edgeform.build.closure import ClosureRequest, check_wheels
from edgeform.build.failure import BuildFailed, ClosureUnavailable

PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
LOCKED = {
    "onnxruntime": PYTHONS[2:],
    "openvino": PYTHONS[2:],
    "litert": PYTHONS[2:],
    "tflite": ("3.9", "3.10", "3.11"),
    "tensorrt": ("3.8", "3.10", "3.11", "3.12"),
}
"""The Pythons that each engine has a lock for; `tensorrt` stands for all engines of the device's own system."""
GLIBCS = ("2.31", "2.36", "2.41")
NO_WHEEL = {
    ("openvino", "aarch64", "2.31"): "openvino 2026.4.1 has no wheel for aarch64-manylinux_2_31",
    ("tflite", "aarch64", "2.31"): "tflite-runtime 2.14.0 has no wheel for aarch64-manylinux_2_31",
}
"""What a lock names and nobody built."""


def what_is_missing(engine, arch, glibc, python):
    try:
        check_wheels(ClosureRequest(engine=engine, arch=arch, glibc=glibc, python=python))
    except ClosureUnavailable as exc:
        return exc.detail
    except BuildFailed as exc:
        if "cannot be reached" in exc.detail:
            pytest.skip(exc.detail)
        raise
    return ""


def expected(engine, arch, glibc, python):
    if python not in LOCKED[engine]:
        return f"There is no lock for {engine} on Python {python}."
    return NO_WHEEL.get((engine, arch, glibc), "")


def check(engine, arch, glibc, python):
    said, wanted = (
        what_is_missing(engine, arch, glibc, python),
        expected(engine, arch, glibc, python),
    )
    assert bool(said) == bool(wanted), (engine, arch, glibc, python, said)
    assert wanted in said


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
@pytest.mark.parametrize("engine", LOCKED)
def test_each_closure_has_its_wheels_or_says_what_is_missing(engine, arch, python):
    for glibc in GLIBCS:
        check(engine, arch, glibc, python)


@pytest.mark.parametrize(
    ("engine", "arch", "glibc", "python"),
    [
        ("onnxruntime", "aarch64", "2.31", "3.10"),
        ("litert", "x86_64", "2.41", "3.14"),
        ("openvino", "aarch64", "2.31", "3.11"),
        ("tensorrt", "aarch64", "2.31", "3.8"),
        ("tflite", "x86_64", "2.36", "3.12"),
    ],
)
def test_a_closure_has_its_wheels_or_says_what_is_missing(engine, arch, glibc, python):
    check(engine, arch, glibc, python)
