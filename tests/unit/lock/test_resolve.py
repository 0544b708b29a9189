"""A new lock: what is locked stays, what is asked for moves, what cannot be made is said."""

from dataclasses import replace

import pytest
from support.registry import a_registry, aliases
from support.spec import a_site, an_object, some_devices

from edgeform.domain.artifacts import VersionRule
from edgeform.domain.build_request import request_of
from edgeform.errors import Corrupt, UsageError
from edgeform.lock.closures import RuntimeRequest, runtimes_of
from edgeform.lock.lockfile import lock_of, read_text, rendered
from edgeform.lock.resolve import renewed, unbuilt
from edgeform.registry.base import VersionNotFound
from edgeform.registry.open import registries_of
from edgeform_wire import digest
from edgeform_wire.artifact import Artifact, ArtifactFile, Requires


class Builder:
    """Makes true artifacts of whatever lies in the folder; closures only for one architecture."""

    def __init__(self, arch="x86_64"):
        self.arch = arch
        self.asked = []

    def model(self, request):
        self.asked.append(f"{request.model.name}@{request.version}/{request.variant.name}")
        assert (request.folder / request.entry).is_file()
        files = tuple(
            ArtifactFile(
                path=p.relative_to(request.folder).as_posix(),
                size_bytes=p.stat().st_size,
                mode="0644",
                digest=digest.of_file(str(p)),
            )
            for p in sorted(request.folder.rglob("*"))
            if p.is_file()
        )
        return Artifact(
            kind="model",
            name=request.model.name,
            version=request.version,
            variant=request.variant.name,
            epoch=request.model.epoch,
            requires=Requires(),
            files=files,
            metadata={"engine": request.variant.engine, "measures": {"accuracy": 0.9}},
        )

    def runtime(self, request):
        self.asked.append("+".join((f"{request.engine}/{request.arch}", *request.extras)))
        if request.arch != self.arch:
            return None
        return Artifact(
            kind="runtime",
            name=request.engine,
            version="1.0.0",
            variant="+".join((f"{request.arch}-py{request.python}", *request.extras)),
            epoch=0,
            requires=Requires(arch=request.arch, glibc=request.glibc, python=request.python),
            files=(),
            metadata={
                "engine": request.engine,
                "engine_version": "1.24.0",
                "extras": list(request.extras),
            },
        )


def a_model(
    version, name="digits", variants="[{name: f32, engine: onnxruntime, file: model.onnx}]"
):
    return an_object(
        "Model",
        name,
        f"{{source: {{registry: local, name: digits}}, version: {version}, variants: {variants}}}",
    )


SITE = an_object("Site", "s", "{registries: [{name: local, kind: directory, path: model}]}")
PC = "{name: d, class: builtin/linux-x86_64, connect: {host: h}}"


@pytest.fixture
def world(tmp_path):
    """Loads a site with these documents, beside a registry with three versions, and renews a lock."""

    class World:
        builder = Builder()
        runs = 0

        def site(self, *documents):
            loaded = a_site(tmp_path, SITE, *documents, with_base=False)
            self.registry = a_registry(
                tmp_path / "site" / "model",
                {
                    "digits": {
                        v: {"model.onnx": v.encode(), "q/model.onnx": b"q" + v.encode()}
                        for v in ("1.0.0", "1.1.0", "2.0.0")
                    }
                },
            )
            return loaded.checked()

        def renew(self, site, old=None, *, update=(), is_here=lambda _: True):
            self.runs += 1
            self.builder.asked.clear()
            return renewed(
                site,
                registries_of(site),
                self.builder,
                old,
                update=update,
                work=tmp_path / f"work-{self.runs}",
                is_here=is_here,
            )

    return World()


def test_a_first_lock_has_versions_variants_and_closures(world):
    found = world.renew(world.site(a_model('{semver: "^1.0"}'), some_devices(PC)))
    assert found.lock.versions == (("digits", "1.1.0"),)
    assert [(a.kind, a.name, a.variant) for a in found.lock.artifacts] == [
        ("model", "digits", "f32"),
        ("runtime", "onnxruntime", "x86_64-py3.11"),
    ]
    model, runtime = found.lock.artifacts
    assert model.measure("accuracy") == 0.9
    assert (runtime.engine_version, runtime.required("glibc")) == ("1.24.0", "2.36")
    assert found.changes == (
        "digits: 1.1.0 (semver ^1.0)",
        "runtime onnxruntime 1.0.0 (arch x86_64, glibc 2.36, python 3.11)",
    )
    assert read_text(rendered(found.lock).encode(), "x").checked() == found.lock


def test_locking_again_builds_no_model_and_changes_nothing(world):
    site = world.site(a_model('{semver: "^1.0"}'), some_devices(PC))
    first = world.renew(site)
    again = world.renew(site, first.lock)
    assert again.lock == first.lock
    assert again.changes == ()
    assert world.builder.asked == []
    assert world.renew(site, first.lock, update=["*"]).lock == first.lock
    assert world.builder.asked == ["digits@1.1.0/f32", "onnxruntime/x86_64"]


def test_a_newer_version_comes_only_when_it_is_asked_for(world):
    site = world.site(a_model("{alias: stable}"), some_devices(PC))
    aliases(world.registry, "digits", stable="1.0.0")
    first = world.renew(site)
    aliases(world.registry, "digits", stable="2.0.0")
    assert world.renew(site, first.lock).lock.versions == (("digits", "1.0.0"),)
    moved = world.renew(site, first.lock, update=["digits"])
    assert moved.lock.versions == (("digits", "2.0.0"),)
    assert moved.changes == ("digits: 1.0.0 -> 2.0.0 (alias stable)",)
    assert world.renew(site, first.lock, update=["*"]).lock == moved.lock


def test_another_rule_in_the_site_asks_again(world):
    first = world.renew(world.site(a_model("{exact: 1.0.0}"), some_devices(PC)))
    site = world.site(a_model("{exact: 2.0.0}"), some_devices(PC))
    assert world.renew(site, first.lock).lock.versions == (("digits", "2.0.0"),)


def test_a_new_variant_is_made_of_the_locked_version_not_of_a_newer_one(world):
    site = world.site(a_model("{alias: stable}"), some_devices(PC))
    aliases(world.registry, "digits", stable="1.0.0")
    first = world.renew(site)
    aliases(world.registry, "digits", stable="2.0.0")
    more = "[{name: f32, engine: onnxruntime, file: model.onnx}, {name: q, engine: onnxruntime, file: q/model.onnx}]"
    site = world.site(a_model("{alias: stable}", variants=more), some_devices(PC))
    found = world.renew(site, first.lock)
    assert found.lock.versions == (("digits", "1.0.0"),)
    assert world.builder.asked[:2] == ["digits@1.0.0/f32", "digits@1.0.0/q"]
    q = next(a for a in found.lock.artifacts if a.variant == "q")
    assert q.size_bytes == len(b"q1.0.0")


def test_a_model_that_the_site_dropped_leaves_the_lock(world):
    first = world.renew(world.site(a_model("{exact: 1.0.0}"), some_devices(PC)))
    found = world.renew(world.site(some_devices(PC)), first.lock)
    assert found.lock.versions == ()
    assert found.changes == ("digits: no longer used",)


def test_files_that_changed_under_a_version_are_noticed(world):
    site = world.site(a_model("{exact: 1.0.0}"), some_devices(PC))
    first = world.renew(site)
    (world.registry / "digits" / "1.0.0" / "model.onnx").write_bytes(b"other")
    found = world.renew(site, first.lock, update=["digits"])
    assert found.changes == ("digits: 1.0.0 has other files than before",)


def test_a_version_whose_files_changed_is_not_taken_unless_somebody_asks_for_it(world):
    site = world.site(a_model("{exact: 1.0.0}"), some_devices(PC))
    first = world.renew(site)
    assert [f.path for f in first.lock.sources[0].files] == ["model.onnx", "q/model.onnx"]
    (world.registry / "digits" / "1.0.0" / "model.onnx").write_bytes(b"other")
    with pytest.raises(Corrupt, match=r"other files than were locked: model\.onnx") as caught:
        world.renew(site, first.lock, is_here=lambda _: False)
    assert "edgeform lock --update digits" in caught.value.hint


def test_closures_that_cannot_be_made_here_are_kept_or_named(world):
    arm = "{name: e, class: builtin/linux-aarch64, connect: {host: i}}"
    site = world.site(some_devices(PC, arm))
    first = world.renew(site)
    assert [(r.engine, r.arch) for r in first.missing] == [("onnxruntime", "aarch64")]
    world.builder.arch = "aarch64"
    second = world.renew(site, first.lock)
    assert second.missing == ()
    assert {a.required("arch") for a in second.lock.artifacts} == {"x86_64", "aarch64"}


def test_what_is_locked_and_not_in_the_store_is_made_again_of_the_locked_version(world):
    site = world.site(a_model("{alias: stable}"), some_devices(PC))
    aliases(world.registry, "digits", stable="1.0.0")
    first = world.renew(site)
    aliases(world.registry, "digits", other="2.0.0")
    found = world.renew(site, first.lock, is_here=lambda _: False)
    assert found.lock == first.lock
    assert world.builder.asked == ["digits@1.0.0/f32", "onnxruntime/x86_64"]


def test_closures_are_asked_for_once_for_each_kind_of_system(world):
    site = world.site(
        some_devices(PC, "{name: e, class: builtin/linux-x86_64, connect: {host: i}}")
    )
    assert runtimes_of(site.devices) == (
        RuntimeRequest(
            engine="onnxruntime", engine_version=None, arch="x86_64", glibc="2.36", python="3.11"
        ),
    )


def a_camera(name, capture):
    spec = f"{{capture: {capture}, infer: {{model: digits}}, postprocess: {{threshold: {{}}}}}}"
    return an_object("Pipeline", name, spec)


def test_a_closure_is_asked_for_with_what_the_stages_of_its_devices_need(world):
    films = '{video_stream: {url: "rtsp://h/s"}}'
    devices = some_devices(
        "{name: d, class: builtin/linux-x86_64, connect: {host: h}, pipelines: [{name: pushed}]}",
        "{name: e, class: builtin/linux-x86_64, connect: {host: i}, pipelines: [{name: pushed}, {name: filmed}]}",
        "{name: f, class: builtin/linux-x86_64, connect: {host: j}, pipelines: [{name: filmed}]}",
    )
    cameras = (a_camera("pushed", "{http_push: {}}"), a_camera("filmed", films))
    site = world.site(a_model("{exact: 1.0.0}"), *cameras, devices)
    first = world.renew(site)
    assert world.builder.asked[1:] == ["onnxruntime/x86_64", "onnxruntime/x86_64+video"]
    runtimes = [a for a in first.lock.artifacts if a.kind == "runtime"]
    assert [(a.variant, a.extras) for a in runtimes] == [
        ("x86_64-py3.11", ()),
        ("x86_64-py3.11+video", ("video",)),
    ]
    assert read_text(rendered(first.lock).encode(), "edgeform.lock").lock == first.lock
    assert world.renew(site, first.lock).lock == first.lock
    assert world.builder.asked == []


def test_a_lock_from_before_stage_extras_keeps_its_digest(world):
    found = world.renew(world.site(a_model("{exact: 1.0.0}"), some_devices(PC)))
    assert '"extras"' not in rendered(found.lock)


def test_updating_what_the_site_does_not_have_is_wrong_usage(world):
    site = world.site(a_model("{exact: 1.0.0}"))
    with pytest.raises(UsageError) as caught:
        world.renew(site, update=["digts"])
    assert "digits" in caught.value.hint


def test_a_version_that_does_not_exist_is_the_registrys_answer(world):
    with pytest.raises(VersionNotFound):
        world.renew(world.site(a_model("{exact: 7.0.0}")))


def test_the_rule_is_kept_with_the_version(world):
    found = world.renew(world.site(a_model("{channel: latest}")))
    (source,) = found.lock.sources
    assert (source.rule, source.wanted, source.version) == (VersionRule.CHANNEL, "latest", "2.0.0")


BUILT = (
    "[{name: f32, engine: onnxruntime, file: model.onnx}, {name: fp16, engine: onnxruntime, build:"
    " {source: model.onnx, recipe: [fp16], evaluation: data/evaluation, gate: {sqnr_db: %s}}}]"
)


def with_built(lock, site):
    """The lock as `edgeform build` leaves it."""
    (model,) = site.models
    variant = model.variants[1]
    (source,) = lock.sources
    made = replace(
        next(a for a in lock.artifacts if a.kind == "model"),
        digest="sha256:" + "b" * 64,
        variant=variant.name,
        derivation="sha256:" + "d" * 64,
        request=request_of(variant, variant.build, source.digest),
    )
    return lock_of(lock.sources, (*lock.artifacts, made))


def test_locking_builds_no_recipe_and_names_what_is_to_be_built(world):
    site = world.site(a_model("{semver: '^1.0'}", variants=BUILT % 15), some_devices(PC))
    done = world.renew(site)
    lock = done.lock
    assert [a.variant for a in lock.artifacts if a.kind == "model"] == ["f32"]
    assert done.unbuilt == unbuilt(site, lock) == (("digits", "fp16"),)
    assert unbuilt(site, with_built(lock, site)) == ()


def test_what_was_built_stays_while_the_site_asks_for_the_same(world):
    site = world.site(a_model("{semver: '^1.0'}", variants=BUILT % 15), some_devices(PC))
    old = with_built(world.renew(site).lock, site)
    again = world.renew(site, old)
    assert again.lock == old
    assert again.changes == ()
    assert read_text(rendered(old).encode(), "edgeform.lock").lock == old


def test_another_gate_version_or_epoch_forgets_what_was_built(world):
    site = world.site(a_model("{exact: 1.0.0}", variants=BUILT % 15), some_devices(PC))
    old = with_built(world.renew(site).lock, site)
    for changed in (
        a_model("{exact: 1.0.0}", variants=BUILT % 20),
        a_model("{exact: 1.1.0}", variants=BUILT % 15),
    ):
        site = world.site(changed, some_devices(PC))
        assert unbuilt(site, world.renew(site, old).lock) == (("digits", "fp16"),)


def test_a_model_whose_every_variant_is_built_fetches_nothing_to_lock(world):
    only = "[{name: fp16" + (BUILT % 15).partition("{name: fp16")[2]
    site = world.site(a_model("{exact: 1.0.0}", variants=only), some_devices(PC))
    renewed_lock = world.renew(site).lock
    assert [s.version for s in renewed_lock.sources] == ["1.0.0"]
    assert not any("digits" in asked for asked in world.builder.asked)
