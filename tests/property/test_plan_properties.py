"""What must hold for every site, lock and observation, not only for the ones we thought of."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.plan import (
    NOW,
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
)
from support.soak import examples

from edgeform.diagnostics import Diagnostic
from edgeform.domain.drivers import DriverTuple, Package, UdevRule, VendorRole
from edgeform.domain.observed import DriftFound, PendingTransaction, Unreachability
from edgeform.domain.pipeline import Checks, Limits
from edgeform.domain.site import SecretRef
from edgeform.domain.stages.capture import HttpPush, ImageDirectory
from edgeform.plan import (
    Changed,
    Unchanged,
    as_text,
    decode,
    digest,
    encode,
    groups,
    make_plan,
    render,
    resolve,
    stages,
)
from edgeform.plan.changes import Reason, downtime_s, send_bytes
from edgeform.plan.generations import Manifests
from edgeform_wire import generation

MODELS = ("digits", "faces", "valves")
TOOL = a_tool()
QUICK = settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
words = st.text(st.characters(codec="utf-8"), max_size=20)
names = st.sampled_from(("alpha", "beta", "gamma", "delta"))

drivers = st.builds(
    DriverTuple,
    packages=st.lists(
        st.builds(Package, name=names, version=st.none() | st.just("2.0-1"), hold=st.booleans()),
        max_size=3,
        unique_by=lambda p: p.name,
    ).map(tuple),
    modules=st.lists(names, max_size=2, unique=True).map(tuple),
    udev_rules=st.lists(
        st.builds(UdevRule, name=names, content=words), max_size=2, unique_by=lambda r: r.name
    ).map(tuple),
    groups=st.lists(names, max_size=2, unique=True).map(tuple),
    sysctl=st.lists(st.tuples(names, st.just("1")), max_size=2, unique_by=lambda s: s[0]).map(
        tuple
    ),
    vendor_roles=st.lists(st.builds(VendorRole, name=names), max_size=1).map(tuple),
    reboot=st.booleans(),
)


@st.composite
def pipelines(draw, name):
    return a_pipeline(
        name,
        draw(st.sampled_from(MODELS)),
        capture=draw(
            st.builds(ImageDirectory, path=words) | st.builds(HttpPush, max_bytes=st.integers(1, 9))
        ),
        checks=draw(st.builds(Checks, p50_ms=st.none() | st.floats(0.5, 100))),
        limits=draw(st.builds(Limits, memory_bytes=st.none() | st.integers(1, 10**10))),
        secrets=draw(st.sampled_from(((), ("mqtt",), ("mqtt", "webhook")))),
    )


@st.composite
def devices(draw, name):
    return a_device(
        name,
        hardware=a_class(drivers=draw(drivers)),
        pipelines=tuple(draw(pipelines(n)) for n in draw(st.lists(names, max_size=3, unique=True))),
        secrets=tuple((n, SecretRef(provider="env", path=n.upper())) for n in ("mqtt", "webhook")),
        keep_generations=draw(st.integers(1, 4)),
    )


@st.composite
def sites(draw, at_most=5):
    count = draw(st.integers(1, at_most))
    return a_site(
        *(draw(devices(f"cam-{n:02}")) for n in range(count)),
        models=tuple(a_model(m) for m in MODELS),
    )


@st.composite
def locks(draw):
    version = st.sampled_from(("1.0.0", "1.1.0"))
    return a_lock(
        *(a_model_artifact(m, draw(version), epoch=draw(st.integers(0, 2))) for m in MODELS),
        a_runtime_artifact(draw(st.sampled_from(("1.23.0", "1.24.1")))),
    )


drift_found = st.builds(
    DriftFound,
    kind=st.sampled_from(("file", "link", "service", "package")),
    path=words,
    expected=words,
    actual=words,
)


def hmac_of(device, name, reference):
    return f"{device}-{name}-{reference}"


def resolved(site, lock):
    resolution = resolve(site, lock, TOOL, hmac_of)
    assert resolution.blocked == ()
    return resolution.desired


def planned(site, lock, seen):
    resolution = resolve(site, lock, TOOL, hmac_of)
    return make_plan(
        site, lock, resolution, seen, context=a_context(site, TOOL), created_at=NOW, made_by="test"
    )


@st.composite
def observations(draw, site):
    """Devices in every situation: untouched, as an older lock or site wanted them, drifted, absent."""
    older_lock, older_site = draw(locks()), draw(sites())
    older = {d.device: d for d in resolved(older_site, older_lock)}
    seen = []
    for device in site.devices:
        what = draw(st.sampled_from(("virgin", "older", "wanted", "absent", "busy", "hands")))
        wanted = {d.device: d for d in resolved(site, older_lock)}[device.name]
        settled = as_if_applied(device, wanted, TOOL)
        if what == "virgin":
            seen.append(a_virgin(device.name))
        elif what == "absent":
            seen.append(an_absentee(device.name, draw(st.sampled_from(list(Unreachability)))))
        elif what == "busy":
            busy = PendingTransaction(
                id=draw(words), phase="soak", to_generation=2, who=draw(words), until="10:00"
            )
            seen.append(replace(settled, transaction=busy))
        elif what == "hands":
            seen.append(replace(settled, needs_hands=draw(words) or "both failed"))
        else:
            was = older.get(device.name, wanted) if what == "older" else wanted
            seen.append(
                replace(
                    settled,
                    generation_digest=was.generation_digest,
                    manifest=was.manifest,
                    committed=draw(st.integers(1, 50)),
                    drift=tuple(draw(st.lists(drift_found, max_size=3))),
                    quarantined=draw(st.sampled_from(((), (was.artifacts[0].digest,))))
                    if was.artifacts
                    else (),
                )
            )
    return tuple(seen)


@st.composite
def plans(draw):
    site, lock = draw(sites()), draw(locks())
    return planned(site, lock, draw(observations(site)))


@QUICK
@given(sites(), locks())
def test_what_it_would_look_like_needs_no_change(site, lock):
    after = [
        as_if_applied(device, desired, TOOL)
        for device, desired in zip(site.devices, resolved(site, lock), strict=True)
    ]
    plan = planned(site, lock, after)
    assert all(isinstance(device, Unchanged) for device in plan.devices), plan


@QUICK
@given(sites(), locks())
def test_every_shared_manifest_is_canonical_and_its_own(site, lock):
    for desired in resolved(site, lock):
        manifest = generation.decode(desired.manifest.encode())
        assert manifest.encoded() == desired.manifest.encode()
        assert manifest.digest == desired.generation_digest
        assert manifest.device == desired.device
        unread = replace(desired.generation, device=desired.device)
        assert unread.encoded() == desired.manifest.encode()


@QUICK
@given(sites(at_most=2), sites(at_most=2), locks(), locks())
def test_a_generation_as_made_differs_from_others_as_one_that_was_read(one, two, before, after):
    had = {d.device: d.manifest for d in resolved(one, before)}
    for desired in resolved(two, after):
        was = had.get(desired.device)

        def changes(known, was=was, desired=desired):
            return Manifests().changes(
                desired.device,
                was,
                desired.manifest,
                reason_of=lambda _was, _now: Reason.SPEC_CHANGED,
                generation=known,
            )

        assert changes(desired.generation) == changes(None)


@QUICK
@given(sites(at_most=2), sites(at_most=2), locks(), locks())
def test_two_different_generations_always_differ_in_some_change(one, two, before, after):
    had = {d.device: d for d in resolved(one, before)}
    wanted = {d.device: d for d in resolved(two, after)}
    devices = {d.name: d for d in two.devices}
    common = sorted(had.keys() & wanted.keys())
    seen = [as_if_applied(devices[name], had[name], TOOL) for name in common]
    for plan in planned(two, after, seen).devices:
        same = had[plan.device].generation_digest == wanted[plan.device].generation_digest
        assert isinstance(plan, Unchanged if same else Changed)
        assert same or stages(plan.changes).generation


@QUICK
@given(plans())
def test_a_plan_file_reads_back_as_the_same_plan(plan):
    document = encode(plan)
    again = decode(document)
    assert again == plan
    assert encode(again) == document
    assert digest(again) == digest(plan)


@QUICK
@given(plans(), st.integers(20, 160), st.booleans())
def test_rendering_never_fails_never_overflows_and_names_every_problem(plan, width, expand):
    lines = render(plan, width=width, expand=expand)
    assert all(len(line.text) <= max(width, 60) for line in lines)
    text = as_text(lines)
    assert not any(ord(ch) < 32 and ch != "\n" for ch in text)
    for device in plan.devices:
        for problem in getattr(device, "problems", ()):
            assert isinstance(problem, Diagnostic)
            assert problem.code in text


@QUICK
@given(plans(), st.booleans())
def test_groups_hold_each_device_once_and_only_equals(plan, apart):
    found = groups(plan, apart=apart)
    names = [name for group in found for name in group.names]
    assert sorted(names) == sorted(device.device for device in plan.devices)
    for group in found:
        assert len({type(device) for device in group.devices}) == 1
        if isinstance(group.first, Changed):
            assert {device.changes for device in group.devices} == {group.first.changes}


@QUICK
@given(plans())
def test_the_stages_hold_every_change_once(plan):
    for device in plan.changed:
        parts = stages(device.changes)
        assert parts.tool + parts.drivers + parts.generation == device.changes


@QUICK
@given(sites(at_most=1), locks(), st.lists(drift_found, max_size=4), drift_found)
def test_more_drift_never_means_fewer_changes(site, lock, some, more):
    (device,), (desired,) = site.devices, resolved(site, lock)
    settled = as_if_applied(device, desired, TOOL)

    def changes(drift):
        plan = planned(site, lock, [replace(settled, drift=tuple(drift))])
        return set(plan.changed[0].changes) if plan.changed else set()

    assert changes(some) <= changes([*some, more])
    assert changes([*some, more])


@QUICK
@given(plans())
def test_costs_are_never_negative_and_the_summary_counts_every_device(plan):
    for device in plan.changed:
        assert send_bytes(device.changes) >= 0
        down = downtime_s(device.changes)
        assert down is None or down >= 0
    s = plan.summary
    counts = (s.changed, s.unchanged, s.unreachable, s.blocked, s.held, s.busy)
    assert sum(counts) == len(plan.devices)


@pytest.mark.parametrize("devices", [1000])
def test_devices_with_equal_pipelines_share_their_artifacts(devices):
    site = a_site(*(a_device(f"cam-{n}") for n in range(devices)))
    desired = resolved(site, a_lock())
    assert len({id(d.artifacts) for d in desired}) == 1
    assert len({d.generation_digest for d in desired}) == devices
