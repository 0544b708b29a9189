from dataclasses import replace

import pytest
from support.plan import (
    a_class,
    a_context,
    a_device,
    a_lock,
    a_model,
    a_model_artifact,
    a_pipeline,
    a_runtime_artifact,
    a_site,
    a_tool,
    a_virgin,
    an_absentee,
    as_if_applied,
    digest,
    facts_after,
    some_facts,
)

from edgeform.domain.artifacts import VersionRule
from edgeform.domain.drivers import DriverTuple, Package, PackageSource, UdevRule, Undo, VendorRole
from edgeform.domain.observed import (
    AcceleratorSeen,
    DriftFound,
    PendingTransaction,
    PipelineHealth,
    Unreachability,
)
from edgeform.domain.site import SecretRef
from edgeform.plan import (
    Blocked,
    Busy,
    Changed,
    Held,
    Unchanged,
    Unreachable,
    codec,
    device_plan,
    resolve,
    stages,
)
from edgeform.plan import changes as c
from edgeform.plan.changes import Fidelity, Reason, Ref, Undoing
from edgeform.plan.words import words_for

HAILO = DriverTuple(
    packages=(Package(name="hailo-dkms", version="4.20.0-1", hold=True), Package(name="dkms")),
    modules=("hailo-pci",),
    udev_rules=(UdevRule(name="51-hailo", content='SUBSYSTEM=="hailo"\n'),),
    groups=("hailo",),
    sysctl=(("vm.swappiness", "10"),),
    vendor_roles=(VendorRole(name="acme.camera", variables=(("gain", "3"),)),),
    reboot=True,
)


def planned(site, observed, lock=None, before=None, **more):
    """The plan of the site's one device; `before` is a lock whose generation it has now."""
    lock = lock or a_lock()
    tool = more.pop("tool", None)
    hmac_of = more.pop("hmac_of", lambda *_: "hmac-1")
    resolution = resolve(site, lock, tool, hmac_of)
    (device,) = site.devices
    wanted = resolution.desired[0] if resolution.desired else resolution.blocked[0][1]
    return device_plan(device, wanted, observed, a_context(site, tool, **more))


def running(site, lock=None, tool=None, hmac="hmac-1", **changed):
    (desired,) = resolve(site, lock or a_lock(), tool, lambda *_: hmac).desired
    return as_if_applied(site.devices[0], desired, tool, **changed)


def of_type(plan, kind):
    assert isinstance(plan, Changed), plan
    return [change for change in plan.changes if isinstance(change, kind)]


def test_a_virgin_device_gets_tool_identity_and_everything_else():
    plan = planned(a_site(), a_virgin(), tool=a_tool())
    assert [type(x) for x in plan.changes] == [
        c.InstallTool,
        c.Enrol,
        c.SwitchRuntime,
        c.InstallModel,
        c.AddPipeline,
    ]
    assert {x.reason for x in plan.changes} == {Reason.FIRST_INSTALL}
    assert c.send_bytes(plan.changes) == 210_000 + 58_000_000 + 1_250_000
    assert c.downtime_s(plan.changes) == 0.0


def test_a_device_as_wanted_is_unchanged():
    site, tool = a_site(), a_tool()
    assert isinstance(planned(site, running(site, tool=tool), tool=tool), Unchanged)


def test_a_model_only_update_sends_the_model_and_not_the_runtime():
    site = a_site()
    lock = a_lock(a_model_artifact(version="1.1.0"), a_runtime_artifact())
    plan = planned(site, running(site), lock)
    (change,) = plan.changes
    assert isinstance(change, c.ReplaceModel)
    assert (change.before.version, change.after.version) == ("1.0.0", "1.1.0")
    assert change.send_bytes == 1_250_000
    assert change.undo is Undoing.GENERATION


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (VersionRule.EXACT, Reason.SPEC_CHANGED),
        (VersionRule.DIGEST, Reason.SPEC_CHANGED),
        (VersionRule.ALIAS, Reason.VERSION_MOVED),
        (VersionRule.SEMVER, Reason.VERSION_MOVED),
        (VersionRule.CHANNEL, Reason.VERSION_MOVED),
    ],
)
def test_a_new_version_is_the_specs_doing_only_where_the_spec_pins_it(rule, reason):
    site = a_site(models=(a_model(rule=rule),))
    lock = a_lock(a_model_artifact(version="1.1.0"), a_runtime_artifact())
    (change,) = planned(site, running(site), lock).changes
    assert change.reason is reason


def test_other_bytes_under_the_same_version_are_called_built_again():
    site = a_site()
    lock = a_lock(a_model_artifact(digest=digest("again")), a_runtime_artifact())
    (change,) = planned(site, running(site), lock).changes
    assert change.reason is Reason.REBUILT


def test_a_raised_epoch_sends_nothing():
    site = a_site()
    lock = a_lock(a_model_artifact(epoch=2), a_runtime_artifact())
    (change,) = planned(site, running(site), lock).changes
    assert change.send_bytes == 0
    assert change.before == change.after


def test_a_changed_pipeline_names_each_leaf_with_before_and_after():
    site = a_site()
    pipeline = a_pipeline()
    resize, *rest = pipeline.preprocess
    other = replace(
        pipeline,
        preprocess=(replace(resize, width=64), *rest),
        limits=replace(pipeline.limits, memory_bytes=10**9),
    )
    (change,) = planned(a_site(a_device(pipelines=(other,))), running(site)).changes
    assert [(f.path, f.before, f.after) for f in change.fields] == [
        ("stages.preprocess[0].width", "32", "64"),
        ("limits.memory_bytes", "null", "1000000000"),
    ]
    assert change.downtime_s


def test_removing_a_pipeline_retires_what_nobody_uses_any_more():
    both = a_site(
        a_device(pipelines=(a_pipeline(), a_pipeline("faces", "faces"))),
        models=(a_model(), a_model("faces")),
    )
    lock = a_lock(a_model_artifact(), a_model_artifact("faces"), a_runtime_artifact())
    plan = planned(a_site(), running(both, lock))
    assert [(type(x).__name__, x.name) for x in plan.changes] == [
        ("RemovePipeline", "faces"),
        ("Retire", "faces"),
    ]


def test_pipelines_that_swap_models_say_so_although_no_artifact_changes():
    lock = a_lock(a_model_artifact(), a_model_artifact("faces"), a_runtime_artifact())
    models = (a_model(), a_model("faces"))
    one = a_site(
        a_device(pipelines=(a_pipeline("a", "digits"), a_pipeline("b", "faces"))), models=models
    )
    two = a_site(
        a_device(pipelines=(a_pipeline("a", "faces"), a_pipeline("b", "digits"))), models=models
    )
    plan = planned(two, running(one, lock), lock)
    assert [type(x) for x in plan.changes] == [c.ChangePipeline, c.ChangePipeline]
    assert plan.changes[0].fields[0] == c.FieldChange(
        path="model", before='"digits 1.0.0 cpu-f32"', after='"faces 1.0.0 cpu-f32"'
    )


def test_a_secret_with_another_value_is_put_again_and_its_hmac_stays_out_of_the_plan():
    device = a_device(
        pipelines=(a_pipeline(secrets=("mqtt",)),),
        secrets=(("mqtt", SecretRef(provider="env", path="T")),),
    )
    site = a_site(device)
    plan = planned(site, running(site, hmac="canary-1"), hmac_of=lambda *_: "canary-2")
    (change,) = plan.changes
    assert isinstance(change, c.PutSecret)
    assert change.undo is Undoing.NONE
    assert "canary" not in repr(plan)


def test_another_tool_is_a_change_of_its_own():
    site = a_site()
    plan = planned(site, running(site, tool=a_tool("0.1.0")), tool=a_tool("0.2.0"))
    (change,) = plan.changes
    assert isinstance(change, c.UpdateTool)
    assert (change.before, change.version) == ("0.1.0", "0.2.0")
    assert (change.reason, change.undo) == (Reason.TOOL_CHANGED, Undoing.TOOL)


def test_drift_is_put_back_and_kept_apart_from_what_we_changed():
    site = a_site()
    drift = DriftFound(
        kind="file", path="trees/ab/labels.txt", expected=digest("a"), actual=digest("b")
    )
    lock = a_lock(a_model_artifact(version="1.1.0"), a_runtime_artifact())
    plan = planned(site, running(site, drift=(drift,)), lock)
    assert [(type(x), x.reason is Reason.DRIFT) for x in plan.changes] == [
        (c.ReplaceModel, False),
        (c.RestoreDrift, True),
    ]


def test_a_failed_service_is_never_clean_even_if_drift_does_not_list_it():
    site = a_site()
    observed = running(
        site, health=(PipelineHealth(name="digits", state="failed", detail="exit 1"),)
    )
    (change,) = of_type(planned(site, observed), c.RestoreDrift)
    assert (change.path, change.actual) == ("edgeform-pipeline@digits.service", "failed")


def test_another_generation_than_our_journal_remembers_is_the_worlds_doing():
    site = a_site()
    (desired,) = resolve(site, a_lock()).desired
    lock = a_lock(a_model_artifact(version="0.9.0"), a_runtime_artifact())
    plan = planned(site, running(site, lock), remembered={"cam-01": desired.generation_digest})
    assert {x.reason for x in plan.changes} == {Reason.DRIFT}


def test_a_manifest_that_lies_about_its_digest_is_not_clean():
    site = a_site()
    plan = planned(site, running(site, generation_digest=digest("something else")))
    (change,) = of_type(plan, c.RestoreDrift)
    assert change.kind == "generation"


def test_a_device_whose_manifest_is_unreadable_is_not_clean_even_under_the_right_digest():
    site = a_site()
    plan = planned(site, running(site, manifest=None))
    (change,) = of_type(plan, c.RestoreDrift)
    assert (change.kind, change.actual) == ("generation", "unreadable")
    assert {x.reason for x in plan.changes} == {Reason.DRIFT}


def test_every_part_of_a_driver_tuple_is_asked_for_before_the_generation():
    site = a_site(a_device(hardware=a_class(drivers=HAILO)))
    plan = planned(site, a_virgin())
    parts = stages(plan.changes)
    assert [(type(x).__name__, x.address) for x in parts.drivers] == [
        ("InstallPackage", "drivers.packages.dkms"),
        ("InstallPackage", "drivers.packages.hailo-dkms"),
        ("WriteUdevRule", "drivers.udev_rules.51-hailo"),
        ("LoadModule", "drivers.modules.hailo-pci"),
        ("JoinGroup", "drivers.groups.hailo"),
        ("SetSysctl", "drivers.sysctl.vm.swappiness"),
        ("RunVendorRole", "drivers.vendor_roles.acme.camera"),
        ("Reboot", "drivers.reboot"),
    ]
    opaque = [x.address for x in parts.drivers if x.fidelity is Fidelity.OPAQUE]
    assert opaque == ["drivers.packages.dkms", "drivers.vendor_roles.acme.camera"]
    assert plan.changes.index(parts.drivers[-1]) < plan.changes.index(parts.generation[0])
    assert c.downtime_s(plan.changes) is None


def test_drivers_in_place_are_left_alone():
    site = a_site(a_device(hardware=a_class(drivers=HAILO)))
    assert isinstance(planned(site, running(site)), Unchanged)


def test_an_older_package_and_another_role_variable_are_seen():
    site = a_site(a_device(hardware=a_class(drivers=HAILO)))
    older = facts_after(
        replace(HAILO, vendor_roles=(VendorRole(name="acme.camera", variables=(("gain", "2"),)),))
    )
    facts = replace(
        running(site).facts, **older | {"packages": (("hailo-dkms", "4.19.0-1"), ("dkms", "3"))}
    )
    plan = planned(site, running(site, facts=facts))
    assert [x.address for x in plan.changes] == [
        "drivers.packages.hailo-dkms",
        "drivers.vendor_roles.acme.camera",
        "drivers.reboot",
    ]
    assert plan.changes[0].before == "4.19.0-1"


def test_a_kernel_parameter_alone_needs_no_reboot():
    tuned = replace(HAILO, sysctl=(("vm.swappiness", "10"),))
    site = a_site(a_device(hardware=a_class(drivers=tuned)))
    facts = replace(running(site).facts, **facts_after(tuned) | {"sysctl": ()})
    plan = planned(site, running(site, facts=facts))
    assert [x.address for x in plan.changes] == ["drivers.sysctl.vm.swappiness"]


def test_undo_of_drivers_is_what_the_class_promises():
    drivers = DriverTuple(packages=(Package(name="x"),), undo=Undo.NONE)
    plan = planned(a_site(a_device(hardware=a_class(drivers=drivers))), a_virgin())
    (change,) = of_type(plan, c.InstallPackage)
    assert (change.undo, change.source) == (Undoing.NONE, "apt")


def test_a_package_of_an_artifact_that_no_class_names_blocks_unless_it_is_installed_already():
    wanted = Package(name="x", source=PackageSource.ARTIFACT)
    hardware = a_class(drivers=DriverTuple(packages=(wanted, Package(name="dkms"))))
    site = a_site(a_device(hardware=hardware))
    plan = planned(site, a_virgin())
    assert isinstance(plan, Blocked)
    (problem,) = plan.problems
    assert problem.code == "EF2109"
    assert problem.detail.startswith("x: ")
    assert "store add-driver" in problem.hint
    there = replace(a_virgin().facts, packages=(("x", "1.0"),))
    assert not isinstance(planned(site, a_virgin(facts=there)), Blocked)


@pytest.mark.parametrize("reason", list(Unreachability))
def test_a_device_that_was_not_seen_is_never_clean(reason):
    plan = planned(a_site(), an_absentee(reason=reason))
    blocking = reason in (Unreachability.PYTHON, Unreachability.SUDO)
    assert isinstance(plan, Blocked if blocking else Unreachable)


def test_needs_hands_wins_over_everything():
    site = a_site()
    busy = PendingTransaction(id="t1", phase="soak", to_generation=2, who="ci", until="10:05")
    plan = planned(site, running(site, needs_hands="old and new failed", transaction=busy))
    assert isinstance(plan, Blocked)
    assert plan.problems[0].code == "EF2120"


def test_a_transaction_under_way_is_busy():
    site = a_site()
    busy = PendingTransaction(id="t1", phase="soak", to_generation=2, who="ci", until="10:05")
    assert isinstance(planned(site, running(site, transaction=busy)), Busy)


def test_what_failed_here_before_is_held():
    site = a_site()
    lock = a_lock(a_model_artifact(version="1.1.0"), a_runtime_artifact())
    (desired,) = resolve(site, lock).desired
    held = planned(site, running(site, quarantined=(desired.generation_digest,)), lock)
    assert isinstance(held, Held)
    held = planned(
        site, running(site, quarantined=(a_model_artifact(version="1.1.0").digest,)), lock
    )
    assert isinstance(held, Held)
    assert held.detail == "model digits 1.1.0 cpu-f32 failed on this device before"


def test_a_quarantined_digest_that_is_confirmed_now_holds_nothing():
    site = a_site()
    (desired,) = resolve(site, a_lock()).desired
    observed = running(site, quarantined=(desired.generation_digest,))
    assert isinstance(planned(site, observed), Unchanged)


def test_a_device_of_another_root_is_not_touched():
    site = a_site()
    plan = planned(site, running(site, root_digest=digest("their root")))
    assert isinstance(plan, Blocked)
    assert plan.problems[0].code == "EF2115"


def test_a_manifest_of_another_device_is_not_compared():
    site, other = a_site(), a_site(a_device("cam-99"))
    (theirs,) = resolve(other, a_lock()).desired
    observed = running(site, manifest=theirs.manifest, generation_digest=theirs.generation_digest)
    plan = planned(site, observed)
    assert isinstance(plan, Blocked)
    assert plan.problems[0].code == "EF2122"


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"arch": "x86_64"}, "EF2111"),
        ({"python": "3.9.2"}, "EF2111"),
        ({"glibc": "2.17"}, "EF2111"),
        ({"disk_free_bytes": 60_000_000}, "EF2113"),
    ],
)
def test_a_device_that_is_not_what_its_class_says_is_blocked(facts, code):
    plan = planned(a_site(), a_virgin(facts=some_facts(**facts)))
    assert isinstance(plan, Blocked)
    assert [p.code for p in plan.problems] == [code]


def test_another_release_blocks_only_where_packages_are_bound_to_it():
    facts = some_facts(os_id="ubuntu", os_version="24.04")
    assert isinstance(planned(a_site(), a_virgin(facts=facts)), Changed)
    bound = a_class(drivers=DriverTuple(packages=(Package(name="dkms"),)))
    plan = planned(a_site(a_device(hardware=bound)), a_virgin(facts=facts))
    assert [p.code for p in plan.problems] == ["EF2111"]
    assert "the spec says debian 12, the device has ubuntu 24.04" in plan.problems[0].detail


def test_a_missing_accelerator_blocks_unless_its_driver_is_about_to_come():
    seen = AcceleratorSeen(
        kind="hailo-8l", bus_id="0001:01:00.0", driver="", node="", state="no-driver"
    )
    hardware = a_class(accelerator="hailo-8l")
    facts = some_facts(accelerators=(seen,))
    plan = planned(a_site(a_device(hardware=hardware)), a_virgin(facts=facts))
    assert [p.code for p in plan.problems] == ["EF2112"]
    hardware = replace(hardware, drivers=DriverTuple(modules=("hailo_pci",)))
    assert isinstance(planned(a_site(a_device(hardware=hardware)), a_virgin(facts=facts)), Changed)
    plan = planned(a_site(a_device(hardware=hardware)), a_virgin())
    assert "no such hardware" in plan.problems[0].detail


def test_require_clock_refuses_a_device_that_does_not_know_the_time():
    site = a_site(a_device(require_clock=True))
    plan = planned(site, a_virgin(facts=some_facts(clock="unknown")))
    assert [p.code for p in plan.problems] == ["EF2114"]


def test_the_base_is_what_the_device_said():
    site = a_site()
    observed = running(site, committed=41, deployment=77)
    base = planned(site, observed).base
    assert (base.generation, base.digest, base.deployment) == (41, observed.generation_digest, 77)
    assert base.facts_digest == observed.facts.digest


def test_a_device_that_shall_run_nothing_needs_no_generation():
    site = a_site(a_device(pipelines=()))
    plan = planned(site, a_virgin(root_digest=digest("root")))
    assert isinstance(plan, Unchanged)


def test_a_ref_reads_as_version_and_variant():
    assert str(Ref(version="1.0", variant="f32", digest=digest("x"))) == "1.0 f32"


def test_a_replaced_model_shows_the_figures_that_are_known_and_differ():
    site = a_site()
    before, after = a_model_artifact(), a_model_artifact(version="1.1.0")
    known = {
        before.digest: {"accuracy": 0.9694, "samples": 360.0, "size_bytes": 799_419.0},
        after.digest: {
            "accuracy": 0.9722,
            "samples": 360.0,
            "size_bytes": 799_419.0,
            "p50_ms": 2.5,
        },
    }
    plan = planned(
        site,
        running(site),
        a_lock(after, a_runtime_artifact()),
        measures=lambda digest: known.get(digest, {}),
    )
    (change,) = plan.changes
    assert change.figures == (
        c.Figure(name="accuracy", before=0.9694, after=0.9722),
        c.Figure(name="p50_ms", before=None, after=2.5),
    )
    assert words_for(change).details == ("accuracy 0.9694 -> 0.9722", "p50 not measured -> 2.5 ms")


def test_a_plan_that_was_saved_before_there_were_figures_can_be_read():
    site = a_site()
    lock = a_lock(a_model_artifact(version="1.1.0"), a_runtime_artifact())
    (change,) = planned(site, running(site), lock).changes
    value = codec.value_json(change)
    del value["figures"]
    assert codec.change_of(value, "change") == change
