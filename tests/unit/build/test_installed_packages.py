"""What `pip install edgeform` brings: no tool set of a builder, whatever is built later."""

import importlib.metadata
import re

import pytest

HEAVY = (
    "torch", "tensorflow", "jax", "onnx", "onnxruntime", "openvino", "nncf", "ai-edge-litert", "nvidia-modelopt",
    "numpy", "scipy",
)  # fmt: skip


def names(requirements):
    return {re.split(r"[ ;<>=!\[(]", r, maxsplit=1)[0].lower() for r in requirements}


def test_edgeform_itself_asks_for_no_builders_packages():
    required = importlib.metadata.requires("edgeform") or []
    plain = names(r for r in required if "extra ==" not in r)
    assert "uv" in plain
    assert not plain & set(HEAVY)


def test_nothing_that_it_asks_for_brings_them_either():
    """The whole closure of its dependencies, as they are installed here."""
    seen, waiting = set(), ["edgeform"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system
        waiting += names(r for r in required if "extra ==" not in r)
    assert len(seen) > 20
    assert not seen & set(HEAVY)


@pytest.mark.parametrize("package", ["edgeform_builder", "edgeform_wire"])
def test_what_runs_in_builders_is_in_the_distribution(package):
    found = importlib.util.find_spec(package)
    assert found is not None
