from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.plan import (
    a_class,
    a_context,
    a_device,
    a_lock,
    a_model_artifact,
    a_pipeline,
    a_plan,
    a_runtime_artifact,
    a_site,
    a_tool,
    a_virgin,
    an_absentee,
    as_if_applied,
    digest,
)

from edgeform import events
from edgeform.domain.drivers import DriverTuple
from edgeform.domain.observed import DriftFound
from edgeform.domain.site import SecretRef
from edgeform.errors import Corrupt, NotTrusted, Stale
from edgeform.plan import digest as plan_digest_of
from edgeform.plan import make_plan, resolve
from edgeform.publish import compile_deployments, publish_plan
from edgeform.store import Artifacts, Objects
from edgeform_wire import deployment
from edgeform_wire.artifact import Artifact, ArtifactFile, Requires
from edgeform_wire.digest import of_bytes

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Repository:
    """Keeps the contract of a trust repository in memory; `locked` is one whose keys are elsewhere."""

    def __init__(self, *, locked=False):
        self.published = {}
        self.staged = {}
        self.version = 0
        self.locked = locked

    def target(self, path):
        return self.published[path][0] if path in self.published else None

    def add_target(self, path, content, custom):
        self.staged[path] = (content, dict(custom))

    def publish(self, now):
        if self.locked:
            raise NotTrusted("no keys")
        self.published |= self.staged
        self.staged.clear()
        self.version += 1
        return self.version

    def deployment(self, device):
        return deployment.decode(self.target(f"sites/lab/{device}.json"))


def stored(artifacts, kind, name, version, variant, content):
    """A real artifact in the store, and how the lock names it."""
    manifest = Artifact(
        kind=kind,
        name=name,
        version=version,
        variant=variant,
        epoch=4,
        requires=Requires(),
        files=(
            ArtifactFile(path="f", size_bytes=len(content), mode="0644", digest=of_bytes(content)),
        ),
    )
    artifacts.objects.put(content)
    return artifacts.index(manifest.encoded())


@pytest.fixture
def artifacts(tmp_path):
    return Artifacts(Objects(tmp_path / "store"))


@pytest.fixture
def lock(artifacts):
    model, runtime = a_model_artifact(), a_runtime_artifact()
    return a_lock(
        replace(model, digest=stored(artifacts, "model", "digits", "1.0.0", "cpu-f32", b"onnx")),
        replace(
            runtime,
            digest=stored(artifacts, "runtime", "onnxruntime", "1.24.1", runtime.variant, b"so"),
        ),
    )


def publish(site, lock, plan, repository, artifacts, listener=events.ignore):
    return publish_plan(
        plan,
        resolve(site, lock),
        site,
        plan_digest=plan_digest_of(plan),
        artifacts=artifacts,
        trust=repository,
        now=NOON,
        listener=listener,
    )


def test_each_changed_device_gets_one_deployment_and_the_manifests_are_signed_with_it(
    artifacts, lock
):
    site = a_site(a_device("cam-01"), a_device("cam-02"))
    plan = a_plan(site, lock, [a_virgin("cam-01"), an_absentee("cam-02")])
    repository, heard = Repository(), []
    (done,) = publish(site, lock, plan, repository, artifacts, heard.append)
    assert done.device == "cam-01"
    assert repository.deployment("cam-01") == done
    assert (done.number, done.base.generation, done.base.digest) == (1, 0, None)
    assert done.generation.digest == plan.changed[0].target
    assert (done.plan_digest, done.issued_at) == (plan_digest_of(plan), "2026-03-01T12:00:00Z")
    manifest, custom = repository.published["artifacts/model/digits/1.0.0/cpu-f32.json"]
    assert of_bytes(manifest) == lock.artifacts[0].digest
    assert custom == {"epoch": 4}
    assert len(repository.published) == 3
    assert heard == [events.Published(devices=1, timestamp_version=1)]


def test_numbers_only_grow_whoever_published_or_applied_last(artifacts, lock):
    site, repository = a_site(), Repository()
    plan = a_plan(site, lock, [a_virgin(deployment=11)])
    (first,) = publish(site, lock, plan, repository, artifacts)
    assert first.number == 12
    other = a_plan(
        site, lock, [a_virgin(deployment=3, facts=replace(a_virgin().facts, digest=digest("new")))]
    )
    (second,) = publish(site, lock, other, repository, artifacts)
    assert second.number == 13


def test_publishing_the_same_plan_again_changes_nothing(artifacts, lock):
    site, repository = a_site(), Repository()
    plan = a_plan(site, lock, [a_virgin()])
    first = publish(site, lock, plan, repository, artifacts)
    before = dict(repository.published)
    assert publish(site, lock, plan, repository, artifacts) == first
    assert repository.published == before


def test_an_incomplete_artifact_stops_everything_before_anything_is_staged(artifacts, lock):
    site, repository = a_site(), Repository()
    artifacts.objects.remove(of_bytes(b"so"))
    with pytest.raises(Corrupt, match="1 of its objects are missing"):
        publish(site, lock, a_plan(site, lock, [a_virgin()]), repository, artifacts)
    assert repository.published == {}
    assert repository.version == 0


def test_without_keys_nothing_is_published(artifacts, lock):
    site, repository = a_site(), Repository(locked=True)
    with pytest.raises(NotTrusted):
        publish(site, lock, a_plan(site, lock, [a_virgin()]), repository, artifacts)
    assert repository.published == {}


def test_an_unreadable_published_deployment_is_not_counted_on_from_zero(artifacts, lock):
    site, repository = a_site(), Repository()
    repository.published["sites/lab/cam-01.json"] = (b"{}", {})
    with pytest.raises(Corrupt, match="unreadable"):
        publish(site, lock, a_plan(site, lock, [a_virgin()]), repository, artifacts)


def compiled(site, lock, plan, resolution=None):
    return compile_deployments(
        plan,
        resolution or resolve(site, lock),
        site,
        plan_digest=plan_digest_of(plan),
        published={},
        issued_at="2026-03-01T12:00:00Z",
    )


def test_a_plan_of_another_spec_is_stale():
    site, lock = a_site(), a_lock()
    plan = a_plan(site, lock, [a_virgin()])
    with pytest.raises(Stale, match="the site is now"):
        compiled(replace(site, digest=digest("edited")), lock, plan)


def test_a_plan_of_another_lock_is_stale():
    site = a_site()
    plan = a_plan(site, a_lock(), [a_virgin()])
    newer = a_lock(a_model_artifact(version="2.0.0"), a_runtime_artifact())
    with pytest.raises(Stale, match="site and lock now ask for") as caught:
        compiled(site, newer, plan)
    assert caught.value.address == "devices.cam-01"
    with pytest.raises(Stale, match="ask for nothing"):
        compiled(site, a_lock(a_runtime_artifact()), plan)


def test_the_policy_is_the_devices_own():
    device = a_device(
        confirm="both", confirm_s=7.0, deadline_s=70.0, soak_s=1.0, require_clock=True
    )
    site, lock = a_site(device), a_lock()
    (done,) = compiled(site, lock, a_plan(site, lock, [a_virgin()]))
    policy = done.policy
    assert (policy.confirm, policy.confirm_s, policy.deadline_s) == ("both", 7.0, 70.0)
    assert (policy.soak_s, policy.require_clock, policy.tool) == (1.0, True, None)


def test_a_tool_update_names_the_tools_artifact():
    site, lock = a_site(), a_lock()
    old, new = a_tool("0.1.0"), a_tool("0.2.0")
    (desired,) = resolve(site, lock, old).desired
    plan = a_plan(site, lock, [as_if_applied(site.devices[0], desired, old)], new)
    (done,) = compiled(site, lock, plan, resolve(site, lock, new))
    assert done.policy.tool == new.artifact


def test_drift_is_put_back_by_a_deployment_of_the_same_generation():
    site, lock = a_site(), a_lock()
    (desired,) = resolve(site, lock).desired
    drift = DriftFound(kind="file", path="x", expected="a", actual="b")
    seen = as_if_applied(site.devices[0], desired, drift=(drift,), committed=5, deployment=9)
    (done,) = compiled(site, lock, a_plan(site, lock, [seen]))
    assert (done.number, done.base.generation) == (10, 5)
    assert done.base.digest == done.generation.digest


def test_a_change_of_drivers_alone_needs_no_deployment():
    lock = a_lock()
    plain = a_site()
    (desired,) = resolve(plain, lock).desired
    seen = as_if_applied(plain.devices[0], desired)
    driven = a_site(a_device(hardware=a_class(drivers=DriverTuple(modules=("hailo_pci",)))))
    plan = a_plan(driven, lock, [seen])
    assert len(plan.changed) == 1
    assert compiled(driven, lock, plan) == ()


def test_a_deployment_holds_a_secrets_name_and_hmac_but_not_where_it_comes_from():
    device = a_device(
        pipelines=(a_pipeline(secrets=("mqtt",)),),
        secrets=(("mqtt", SecretRef(provider="env", path="CANARY_VARIABLE")),),
    )
    site, lock = a_site(device), a_lock()
    resolution = resolve(site, lock, None, lambda *_: "hmac-of-it")
    plan = make_plan(
        site,
        lock,
        resolution,
        [a_virgin()],
        context=a_context(site),
        created_at="2026-03-01T12:00:00Z",
        made_by="test",
    )
    (done,) = compiled(site, lock, plan, resolution)
    assert [(s.name, s.hmac) for s in done.generation.secrets] == [("mqtt", "hmac-of-it")]
    assert b"CANARY_VARIABLE" not in done.encoded()
