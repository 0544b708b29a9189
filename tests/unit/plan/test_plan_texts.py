"""The plan as people see it; tests/golden/plan/ is meant to be read as prose."""

from dataclasses import replace

import pytest
from support.plan import (
    a_class,
    a_device,
    a_lock,
    a_model,
    a_model_artifact,
    a_pipeline,
    a_plan,
    a_runtime_artifact,
    a_site,
    a_tool,
    a_variant,
    a_virgin,
    an_absentee,
    as_if_applied,
    digest,
    some_facts,
)

from edgeform.domain.artifacts import VersionRule
from edgeform.domain.drivers import DriverTuple, Package, UdevRule, VendorRole
from edgeform.domain.observed import AcceleratorSeen, DriftFound, PendingTransaction, Unreachability
from edgeform.domain.stages.preprocess import Resize
from edgeform.errors import worst_of
from edgeform.plan import as_text, render, resolve

MODELS = (a_model(rule=VersionRule.ALIAS, wanted="champion"),)
OLD = a_lock()
NEW = a_lock(a_model_artifact(version="1.1.0"), a_runtime_artifact())
HAILO = a_class(
    "pi-5-hailo",
    accelerator="hailo-8l",
    drivers=DriverTuple(
        packages=(Package(name="hailo-dkms", version="4.20.0-1", hold=True), Package(name="dkms")),
        modules=("hailo_pci",),
        udev_rules=(UdevRule(name="51-hailo", content='SUBSYSTEM=="hailo"\n'),),
        groups=("hailo",),
        vendor_roles=(VendorRole(name="acme.camera"),),
        reboot=True,
    ),
)
SEEN = AcceleratorSeen(
    kind="hailo-8l", bus_id="0001:01:00.0", driver="", node="", state="no-driver"
)


def settled(site, name, lock=OLD, tool=None, **changed):
    device = site.device(name)
    desired = next(d for d in resolve(site, lock, tool).desired if d.device == name)
    return as_if_applied(device, desired, tool, **changed)


def first_install():
    site = a_site(
        *(a_device(f"cam-{n:02}") for n in range(1, 4)),
        a_device("gate-01", hardware=HAILO),
        models=MODELS,
    )
    seen = [a_virgin(f"cam-{n:02}") for n in range(1, 4)]
    return a_plan(
        site, OLD, [*seen, a_virgin("gate-01", facts=some_facts(accelerators=(SEEN,)))], a_tool()
    )


def model_update():
    site = a_site(*(a_device(f"cam-{n:02}") for n in range(1, 6)), models=MODELS)
    seen = [settled(site, f"cam-{n:02}", committed=40 + n // 5) for n in range(1, 5)]
    return a_plan(site, NEW, [*seen, settled(site, "cam-05", NEW)])


def everything_at_once():
    """One device in every situation, and one where the world and we both moved."""
    tool = a_tool("0.2.0")
    names = ("cam-01", "cam-02", "cam-03", "cam-04", "cam-05", "cam-06", "cam-07", "cam-08")
    before = a_site(*(a_device(n) for n in names), models=MODELS)
    other = a_pipeline(preprocess=(Resize(width=48, height=48), *a_pipeline().preprocess[1:]))
    site = a_site(
        a_device("cam-01", pipelines=(other,)), *(a_device(n) for n in names[1:]), models=MODELS
    )
    drift = (
        DriftFound(
            kind="file", path="trees/9f2c/labels.txt", expected=digest("a"), actual=digest("b")
        ),
        DriftFound(
            kind="file", path="gen/1/pipelines/digits.json", expected=digest("c"), actual=""
        ),
    )
    busy = PendingTransaction(
        id="t-7", phase="soak", to_generation=2, who="ci@build-3", until="2026-03-01T10:05:00Z"
    )
    bad = next(d for d in resolve(site, NEW).desired if d.device == "cam-03").generation_digest
    seen = [
        settled(before, "cam-01", tool=a_tool(), drift=drift),
        settled(before, "cam-02", NEW, tool),
        settled(before, "cam-03", tool=tool, quarantined=(bad,)),
        settled(before, "cam-04", tool=tool, transaction=busy),
        an_absentee("cam-05"),
        an_absentee("cam-06", Unreachability.HOST_KEY),
        a_virgin("cam-07", facts=some_facts(python="3.13.1", disk_free_bytes=10_000_000)),
        settled(
            before, "cam-08", tool=tool, needs_hands="digits fails its goldens on gen 1 and gen 2"
        ),
    ]
    return a_plan(site, NEW, seen, tool)


def no_variant():
    model = a_model(variants=(a_variant("hef-8l", engine="hailort", accelerators=("hailo-8l",)),))
    site = a_site(a_device("cam-01"), a_device("cam-02"), models=(model,))
    return a_plan(site, OLD, [a_virgin("cam-01"), a_virgin("cam-02")], a_tool())


def nothing_to_do():
    site = a_site(*(a_device(f"cam-{n:02}") for n in range(1, 31)), models=MODELS)
    return a_plan(site, OLD, [settled(site, device.name) for device in site.devices])


STORIES = (first_install, model_update, everything_at_once, no_variant, nothing_to_do)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_plan_reads_as_reviewed(story, golden):
    golden(f"plan/{story.__name__}.txt", as_text(render(story())))


def test_expanded_plan_reads_as_reviewed(golden):
    golden("plan/first_install.expanded.txt", as_text(render(first_install(), expand=True)))


def test_narrow_plan_reads_as_reviewed(golden):
    golden("plan/everything_at_once.80.txt", as_text(render(everything_at_once(), width=80)))


def test_exit_codes_are_those_of_the_table():
    assert everything_at_once().exit_codes == {2, 3, 7, 9, 20}
    assert worst_of(everything_at_once().exit_codes) == 20
    assert no_variant().exit_codes == {3}
    assert model_update().exit_codes == {2}
    assert nothing_to_do().exit_codes == frozenset()


def test_words_of_a_device_cannot_steer_the_terminal():
    site = a_site(models=MODELS)
    drift = DriftFound(kind="file", path="a\x1b[2Jb\nc", expected="x", actual="\x9b31m")
    text = as_text(render(a_plan(site, OLD, [settled(site, "cam-01", drift=(drift,))])))
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert r"a\x1b[2Jb\x0ac" in text


def test_one_device_apart_from_its_group_when_one_thing_differs():
    site = a_site(a_device("cam-01"), a_device("cam-02", keep_generations=2), models=MODELS)
    before = a_site(a_device("cam-01"), a_device("cam-02"), models=MODELS)
    plan = a_plan(
        site, NEW, [replace(settled(before, n), committed=9) for n in ("cam-01", "cam-02")]
    )
    text = as_text(render(plan))
    assert "group A · 1 device: cam-01" in text
    assert "generations" in text.split("group B")[1]
