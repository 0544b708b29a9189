"""site/factory: every hardware class, planned from facts on disk by the same line as `edgeform plan`."""

import json
import runpy
from pathlib import Path

import jsonschema
import pytest
from support.device import plant

from edgeform.build.closure import PACKAGES, ClosureRequest, lock_of
from edgeform.build.model import model_artifact
from edgeform.domain.hardware import Engine
from edgeform.domain.observed import Observed, Unobserved
from edgeform.errors import EdgeformError
from edgeform.lock.closures import runtimes_of
from edgeform.lock.lockfile import read as read_lock
from edgeform.lock.lockfile import rendered
from edgeform.observe.command import questions_about
from edgeform.observe.parse import observation
from edgeform.plan import (
    Blocked,
    Changed,
    Context,
    ShippedTool,
    Unreachable,
    as_text,
    decode,
    encode,
    make_plan,
    render,
    resolve,
)
from edgeform.shipped import shipped
from edgeform.spec.load import load
from edgeform.transport.base import DeviceUnreachable, Run, Target
from edgeform.transport.bymode import ByMode
from edgeform_device import probe
from edgeform_wire.digest import of_bytes

REPOSITORY = Path(__file__).parents[3]
FACTORY = REPOSITORY / "site" / "factory"
FACTS = FACTORY / "facts"
ROOTS = REPOSITORY / "tests" / "cases" / "roots"
TOOL = ShippedTool(
    version="0.1.0", artifact=of_bytes(b"artifact"), file=of_bytes(b"file"), size_bytes=460_000
)
"""A tool of fixed size and digest: the golden plan must not change with every line of device code."""


def one_hmac(device, name, reference):
    return "hmac:" + of_bytes(f"{device} {name} {reference}".encode())[7:39]


@pytest.fixture(scope="module")
def site():
    return load(FACTORY).checked()


@pytest.fixture(scope="module")
def lock():
    return read_lock(FACTORY / "edgeform.lock").checked()


def seen(device):
    """What the transport and the parser make of a device: its file, or that no network leads to it."""
    if device.connect.mode == "offline":
        try:
            ByMode(ssh=None, local=None).run(
                Target(name=device.name, connect=device.connect), Run(argv=("true",))
            )
        except DeviceUnreachable as exc:
            return Unobserved(
                device=device.name, reason=exc.reason, detail=exc.detail, hint=exc.hint
            )
    return observation(device.name, 0, (FACTS / f"{device.name}.json").read_bytes(), b"")


@pytest.fixture(scope="module")
def plan(site, lock):
    return make_plan(
        site,
        lock,
        resolve(site, lock, TOOL, one_hmac),
        [seen(device) for device in site.devices],
        context=Context(site=site.name, models={m.name: m for m in site.models}, tool=TOOL),
        created_at="2026-06-01T08:00:00Z",
        made_by="ci",
    )


def test_the_plan_of_every_class_reads_as_agreed(plan, golden):
    golden("factory/plan.txt", as_text(render(plan, width=100)))


def test_every_device_has_a_plan_or_a_reason_by_name(site, plan):
    assert [d.device for d in plan.devices] == [d.name for d in site.devices]
    for planned in plan.devices:
        match planned:
            case Changed(changes=changes):
                assert changes
            case Blocked(problems=problems):
                assert problems
                assert all(p.code.startswith("EF21") and p.hint for p in problems)
            case Unreachable(reason=reason, hint=hint):
                assert (planned.device, reason) == ("mine-cam-01", "offline")
                assert hint
            case other:
                pytest.fail(f"{planned.device}: {other}")


def test_the_devices_that_are_not_what_the_site_says_are_blocked_for_that(plan):
    codes = {d.device: {p.code for p in d.problems} for d in plan.devices if isinstance(d, Blocked)}
    assert codes == {
        "ber-gate-03": {"EF2104"},
        "ber-npu-01": {"EF2109"},
        "por-arm-01": {"EF2111"},
        "por-hailo-01": {"EF2109"},
        "por-parts-01": {"EF2112"},
    }


def test_the_plan_survives_its_file(plan):
    assert decode(encode(plan)) == plan


def test_the_lock_is_the_one_that_its_script_writes():
    script = runpy.run_path(str(FACTORY / "planning_lock.py"))
    assert rendered(script["planning_lock"](FACTORY)) == (FACTORY / "edgeform.lock").read_text()


def test_no_closure_of_the_lock_can_be_taken_for_a_real_one(lock):
    runtimes = [a for a in lock.artifacts if a.kind == "runtime"]
    assert {a.engine for a in runtimes} == set(Engine)
    assert all(a.version.endswith("+planning-only") and a.size_bytes == 0 for a in runtimes)


def test_what_is_a_model_is_in_the_lock_as_it_would_be_installed(site, lock):
    made = {a.name: a for a in lock.artifacts if a.kind == "model" and a.engine == "onnxruntime"}
    sources = {s.model: s for s in lock.sources}
    for model in site.models:
        if model.name == "ppe":
            continue
        source = sources[model.name]
        folder = FACTORY / "model" / source.source / source.version
        artifact = model_artifact(folder, model.name, source.version, "onnx-f32")
        assert artifact.digest == made[model.name].digest


@pytest.mark.parametrize(
    "entry", sorted((FACTORY / "model" / "ppe").rglob("model*.*")), ids=lambda p: p.name
)
def test_no_file_that_only_stands_for_a_model_becomes_one(entry):
    assert b"NOT A MODEL" in entry.read_bytes()
    with pytest.raises(EdgeformError):
        model_artifact(entry.parent, "ppe", "2.1.0", "x", entry=entry.name, wants_goldens=False)


def test_every_engine_of_the_factory_has_a_lock_for_its_devices(site):
    for request in runtimes_of(site.devices):
        lock = lock_of(
            ClosureRequest(
                engine=request.engine,
                arch=request.arch,
                glibc=request.glibc,
                python=request.python,
                extras=request.extras,
            )
        )
        package = PACKAGES.get(request.engine, "numpy")
        assert f"{package}==" in lock
        assert ("av==" in lock) == ("video" in request.extras)


def files_of_facts():
    return sorted(FACTS.glob("*.json"))


def test_each_device_on_a_network_has_its_facts_and_no_file_is_left_over(site):
    reached = {d.name for d in site.devices if d.connect.mode != "offline"}
    assert {file.stem for file in files_of_facts()} == reached


@pytest.mark.parametrize("file", files_of_facts(), ids=lambda f: f.stem)
def test_facts_have_the_form_of_the_probe(file, site):
    answer = json.loads(file.read_text())
    assert set(answer) == {"ok", "facts"}
    schema = json.loads(shipped("schemas", "facts.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(answer["facts"])
    assert isinstance(observation(file.stem, 0, file.read_bytes(), b""), Observed)
    asked = questions_about(site.device(file.stem).hardware.drivers)
    assert set(answer["facts"]["packages"]) <= set(asked.packages)
    assert set(answer["facts"]["modules"]) <= {m.replace("-", "_") for m in asked.modules}
    assert set(answer["facts"]["groups"]) <= set(asked.groups)


@pytest.mark.parametrize(
    ("device", "tree"),
    [
        ("ber-gate-01", "jetson-orin-nano"),
        ("ber-npu-01", "nuc-igpu-npu"),
        ("ber-mic-01", "pi4-coral-usb"),
        ("ber-imx-01", "imx8mp"),
        ("por-coral-01", "pc-coral-pcie-no-node"),
        ("cloud-inf2", "inferentia2"),
    ],
)
def test_accelerators_are_told_as_the_probe_tells_them(device, tree, tmp_path):
    root = plant(ROOTS / f"{tree}.tree", tmp_path)
    facts = json.loads((FACTS / f"{device}.json").read_text())["facts"]
    assert facts["accelerators"] == probe.probe({}, str(root), str(tmp_path))["accelerators"]
