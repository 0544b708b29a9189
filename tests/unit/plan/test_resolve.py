import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.plan import (
    a_class,
    a_device,
    a_lock,
    a_model,
    a_model_artifact,
    a_pipeline,
    a_runtime_artifact,
    a_site,
    a_tool,
    a_variant,
    digest,
)

from edgeform.domain.artifacts import LockedSource, Variant, VersionRule
from edgeform.domain.build_request import request_of
from edgeform.domain.builds import Build, Step
from edgeform.domain.drivers import DriverTuple
from edgeform.domain.hardware import Engine, RuntimeChoice
from edgeform.domain.names import ModelName
from edgeform.domain.pipeline import Checks, Limits, Pause, Shadow, Smaller, Thermal
from edgeform.domain.site import SecretRef
from edgeform.domain.stages.capture import VideoStream
from edgeform.plan import problems, resolve
from edgeform.plan.explained import EXPLAINED
from edgeform_wire import generation
from edgeform_wire.companions import companions

TOKEN = SecretRef(provider="env", path="MQTT_TOKEN")


def only(site, lock, **more):
    resolution = resolve(site, lock, **more)
    assert resolution.blocked == ()
    (desired,) = resolution.desired
    return desired


def problem(site, lock, **more):
    resolution = resolve(site, lock, **more)
    assert resolution.desired == ()
    (found,) = resolution.diagnostics
    return found


def test_manifest_names_model_runtime_and_the_six_stages():
    desired = only(a_site(), a_lock(), tool=a_tool())
    manifest = generation.decode(desired.manifest.encode())
    assert manifest.device == "cam-01"
    assert {a.kind for a in manifest.artifacts} == {"model", "runtime"}
    (pipeline,) = manifest.pipelines
    assert pipeline.model == a_model_artifact().digest
    assert pipeline.runtime == a_runtime_artifact().digest
    assert pipeline.stages["capture"] == {
        "kind": "image_directory",
        "path": "/srv/frames",
        "pattern": "*.png",
        "interval_s": 1.0,
        "after": "keep",
    }
    assert [s["kind"] for s in pipeline.stages["preprocess"]] == [
        "resize",
        "colour",
        "normalise",
        "layout",
    ]
    assert pipeline.stages["serving"] == {"address": "127.0.0.1", "port": 0}
    assert pipeline.checks["provider"] == "CPUExecutionProvider"
    assert desired.tool == a_tool().artifact


def test_shared_manifest_has_the_bytes_of_one_made_alone():
    site = a_site(a_device("cam-01"), a_device("cam-02"))
    for desired in resolve(site, a_lock()).desired:
        manifest = generation.decode(desired.manifest.encode())
        assert manifest.device == desired.device
        assert manifest.encoded().decode() == desired.manifest
        assert manifest.digest == desired.generation_digest


def test_a_comment_in_the_spec_does_not_change_the_generation():
    before = only(a_site(), a_lock())
    after = only(a_site(a_device(address="devices.yaml:99:1"), digest=digest("other")), a_lock())
    assert after.generation_digest == before.generation_digest


def test_of_two_fitting_variants_the_more_accurate_one_wins_and_says_by_how_much():
    model = a_model(variants=(a_variant("cpu-int8", precision="int8"), a_variant("cpu-f32")))
    lock = a_lock(
        a_model_artifact(variant="cpu-int8", measures=(("accuracy", 0.962), ("p50_ms", 1.1))),
        a_model_artifact(variant="cpu-f32", measures=(("accuracy", 0.981), ("p50_ms", 3.0))),
        a_runtime_artifact(),
    )
    desired = only(a_site(models=(model,)), lock)
    assert dict(desired.reasons)["digits"] == (
        "cpu-f32: accuracy 0.981, p50 3 ms (against cpu-int8 accuracy 0.962, p50 1.1 ms)"
    )


def test_a_latency_objective_leaves_out_variants_that_measured_slower():
    model = a_model(variants=(a_variant("cpu-f32"), a_variant("cpu-int8")))
    lock = a_lock(
        a_model_artifact(variant="cpu-int8", measures=(("accuracy", 0.962), ("p50_ms", 1.1))),
        a_model_artifact(variant="cpu-f32", measures=(("accuracy", 0.981), ("p50_ms", 3.0))),
        a_runtime_artifact(),
    )
    device = a_device(pipelines=(a_pipeline(checks=Checks(p50_ms=2.0)),))
    desired = only(a_site(device, models=(model,)), lock)
    assert dict(desired.reasons)["digits"] == (
        "cpu-int8: accuracy 0.962, p50 1.1 ms; 1 slower than the objective of 2 ms"
    )


def test_without_figures_the_order_of_wish_decides():
    model = a_model(variants=(a_variant("cpu-int8"), a_variant("cpu-f32")))
    lock = a_lock(
        a_model_artifact(variant="cpu-f32", measures=(("accuracy", 0.99),)),
        a_model_artifact(variant="cpu-int8"),
        a_runtime_artifact(),
    )
    desired = only(a_site(models=(model,)), lock)
    assert dict(desired.reasons)["digits"] == "cpu-int8: first in order of wish, not all measured"


def test_a_variant_for_another_accelerator_or_engine_is_not_taken():
    model = a_model(
        variants=(
            a_variant("hef", engine="hailort", accelerators=("hailo-8l",)),
            a_variant("ov", engine="openvino"),
        )
    )
    found = problem(a_site(models=(model,)), a_lock())
    assert found.code == "EF2103"
    assert "hef (hailort: hailo-8l); ov (openvino: *)" in found.detail


def test_an_unlocked_model_says_which_lock_command():
    lock = a_lock(a_runtime_artifact())
    found = problem(a_site(), lock)
    assert (found.code, found.hint) == ("EF2101", "edgeform lock --update digits")


def test_an_unbuilt_variant_says_which_build_command():
    lock = a_lock(a_runtime_artifact(), versions=(("digits", "1.0.0"),))
    found = problem(a_site(), lock)
    assert (found.code, found.hint) == ("EF2102", "edgeform lock")


def built_variant(**changed):
    build = Build(source="model.onnx", recipe=(Step(name="fp16"),), evaluation="data/e")
    return Variant(name="fp16", engine="onnxruntime", build=build, **changed)


def locked_with(*artifacts):
    source = LockedSource(
        model="digits",
        registry="files",
        source="digits",
        rule=VersionRule.EXACT,
        wanted="1.0.0",
        version="1.0.0",
        digest=digest("source"),
    )
    return replace(a_lock(*artifacts, a_runtime_artifact()), sources=(source,))


def test_a_variant_that_was_built_as_the_site_asks_is_taken():
    variant = built_variant()
    asked = request_of(variant, variant.build, digest("source"))
    lock = locked_with(a_model_artifact(variant="fp16", request=asked, derivation=digest("d")))
    desired = only(a_site(models=(a_model(variants=(variant,)),)), lock)
    assert [a.variant for a in desired.generation.artifacts if a.kind == "model"] == ["fp16"]


@pytest.mark.parametrize("request_digest", [None, digest("another recipe")])
def test_a_variant_that_is_not_built_as_asked_blocks_and_names_the_verb(request_digest):
    """Never the other variant instead: a fleet would change its precision in silence."""
    other = Variant(name="cpu-f32", engine="onnxruntime", file="model.onnx")
    built = a_model_artifact(variant="fp16", request=request_digest)
    kept = (built,) if request_digest else ()
    lock = locked_with(a_model_artifact(), *kept)
    site = a_site(models=(a_model(variants=(built_variant(), other)),))
    found = problem(site, lock)
    assert (found.code, found.hint) == ("EF2102", "edgeform build")
    assert "fp16" in found.detail
    assert "cpu-f32" not in found.detail


def test_a_variant_for_another_accelerator_need_not_be_built():
    other = Variant(name="cpu-f32", engine="onnxruntime", file="model.onnx")
    variants = (built_variant(accelerators=("coral-usb",)), other)
    desired = only(a_site(models=(a_model(variants=variants),)), locked_with(a_model_artifact()))
    assert desired.generation.artifacts


def test_an_unbuilt_runtime_lists_what_the_lock_has():
    found = problem(a_site(), a_lock(a_model_artifact(), a_runtime_artifact(python="3.12")))
    assert found.code == "EF2104"
    assert "onnxruntime, aarch64, glibc <= 2.36, Python 3.11" in found.detail
    assert "python 3.12" in found.detail


FILMED = a_pipeline("filmed", capture=VideoStream(url="rtsp://h/s"))


def test_a_device_gets_the_closure_with_what_its_pipelines_use_and_no_other():
    plain = a_runtime_artifact()
    video = a_runtime_artifact(extras=("video",), digest=digest("with video"))
    more = a_runtime_artifact(extras=("gpio", "video"), digest=digest("with more"))
    lock = a_lock(a_model_artifact(), plain, video, more)
    assert plain in only(a_site(), lock).artifacts
    both = only(a_site(a_device(pipelines=(a_pipeline(), FILMED))), lock)
    assert [a for a in both.artifacts if a.kind == "runtime"] == [video]
    assert {p.runtime for p in both.generation.pipelines} == {video.digest}
    # The same pipeline on two devices of one class: another pipeline beside it decides.
    site = a_site(a_device("cam-01"), a_device("cam-02", pipelines=(a_pipeline(), FILMED)))
    assert [{p.runtime for p in d.generation.pipelines} for d in resolve(site, lock).desired] == [
        {plain.digest},
        {video.digest},
    ]


def test_a_lock_without_what_stages_need_is_refused_with_what_it_has():
    found = problem(a_site(a_device(pipelines=(FILMED,))), a_lock())
    assert found.code == "EF2104"
    assert "with the stage extras video. It has: onnxruntime" in found.detail
    assert found.hint == "edgeform lock"


def test_the_newest_engine_that_the_class_allows_is_taken():
    old, new = a_runtime_artifact("1.9.0"), a_runtime_artifact("1.24.1")
    lock = a_lock(a_model_artifact(), old, new)
    assert new in only(a_site(), lock).artifacts
    pinned = a_class(runtime=RuntimeChoice(engine=Engine.ONNXRUNTIME, version="1.9.0"))
    assert old in only(a_site(a_device(hardware=pinned)), lock).artifacts


def test_a_closure_for_a_newer_glibc_than_the_class_has_is_not_taken():
    lock = a_lock(
        a_model_artifact(), a_runtime_artifact(glibc="2.28"), a_runtime_artifact(glibc="2.39")
    )
    (runtime,) = (a for a in only(a_site(), lock).artifacts if a.kind == "runtime")
    assert runtime.required("glibc") == "2.28"


def test_glibc_versions_compare_as_numbers():
    lock = a_lock(a_model_artifact(), a_runtime_artifact(glibc="2.4"))
    assert only(a_site(), lock).artifacts


def test_one_problem_of_many_devices_is_told_once_and_names_them():
    devices = [a_device(f"cam-{n}") for n in range(7)]
    resolution = resolve(a_site(*devices), a_lock(a_runtime_artifact()))
    (found,) = resolution.diagnostics
    assert found.detail.endswith("Devices: cam-0, cam-1, cam-2, cam-3 and 3 more.")
    assert len(resolution.blocked) == 7


def test_a_secret_enters_as_name_and_hmac_only():
    device = a_device(
        pipelines=(a_pipeline(secrets=("mqtt",)),), secrets=(("mqtt", TOKEN), ("unused", TOKEN))
    )
    asked = []

    def hmac_of(name, secret, reference):
        asked.append((name, secret, str(reference)))
        return "hmac-of-it"

    desired = only(a_site(device), a_lock(), hmac_of=hmac_of)
    manifest = generation.decode(desired.manifest.encode())
    assert [(s.name, s.hmac) for s in manifest.secrets] == [("mqtt", "hmac-of-it")]
    assert asked == [("cam-01", "mqtt", "env/MQTT_TOKEN")]
    assert desired.secrets == (("mqtt", TOKEN),)


def test_a_secret_without_value_blocks_its_device():
    device = a_device(pipelines=(a_pipeline(secrets=("mqtt",)),), secrets=(("mqtt", TOKEN),))
    assert problem(a_site(device), a_lock()).code == "EF2107"


def test_a_secret_that_the_device_does_not_declare_is_named():
    device = a_device(pipelines=(a_pipeline(secrets=("mqtt",)),))
    assert problem(a_site(device), a_lock()).code == "EF2106"


def test_a_pipeline_with_an_unknown_model_is_named():
    assert problem(a_site(models=()), a_lock()).code == "EF2105"


def test_a_device_without_pipelines_needs_no_runtime():
    desired = only(a_site(a_device(pipelines=())), a_lock(a_model_artifact()))
    assert desired.artifacts == ()


def test_drivers_come_from_the_class():
    drivers = DriverTuple(modules=("hailo_pci",))
    hardware = replace(a_class(), drivers=drivers)
    assert only(a_site(a_device(hardware=hardware)), a_lock()).drivers == drivers


def test_every_code_of_planning_is_explained_and_used():
    source = Path(problems.__file__).read_text()
    assert set(re.findall(r'code="(EF\d{4})"', source)) == set(EXPLAINED)


def test_models_beside_a_pipelines_own_are_in_the_manifest_by_digest():
    small = a_model("small")
    thermal = Thermal(
        smaller=Smaller(celsius=80.0, model=ModelName("small")), pause=Pause(celsius=90.0)
    )
    pipeline = replace(
        a_pipeline(),
        limits=Limits(thermal=thermal),
        shadow=Shadow(model=ModelName("small"), every=7),
    )
    site = a_site(a_device(pipelines=(pipeline,)), models=(a_model(), small))
    lock = a_lock(a_runtime_artifact(), a_model_artifact(), a_model_artifact("small"))
    found = resolve(site, lock)
    assert not found.blocked, found.diagnostics
    generation = found.desired[0].generation
    (use,) = generation.pipelines
    artifact = next(a for a in generation.artifacts if a.name == "small")
    assert use.stages["thermal"]["smaller"]["model"] == artifact.digest
    assert use.stages["thermal"]["pause"] == {"celsius": 90.0}
    assert use.stages["shadow"]["every"] == 7
    assert use.stages["shadow"]["model_ref"] == f"small@{artifact.version}/{artifact.variant}"
    assert companions(use.stages) == (("smaller", artifact.digest), ("shadow", artifact.digest))


def runtime_of(site, lock):
    found = resolve(site, lock)
    assert not found.blocked, found.diagnostics
    return found.desired[0].generation.pipelines[0].stages


def test_a_model_in_half_precision_is_asked_for_in_half_precision():
    lock = a_lock(a_runtime_artifact(), a_model_artifact(precision="f16"))
    assert runtime_of(a_site(a_device()), lock)["runtime"]["precision"] == "f16"
    plain = a_lock(a_runtime_artifact(), a_model_artifact())
    assert runtime_of(a_site(a_device()), plain)["runtime"]["precision"] == "f32"


def test_a_companion_is_asked_for_in_its_own_precision():
    pipeline = replace(a_pipeline(), shadow=Shadow(model=ModelName("small"), every=7))
    site = a_site(a_device(pipelines=(pipeline,)), models=(a_model(), a_model("small")))
    half = a_lock(
        a_runtime_artifact(), a_model_artifact(precision="f16"), a_model_artifact("small")
    )
    assert runtime_of(site, half)["shadow"]["precision"] == "f32"
    other = a_lock(
        a_runtime_artifact(), a_model_artifact(), a_model_artifact("small", precision="f16")
    )
    assert runtime_of(site, other)["shadow"]["precision"] == "f16"
    alike = a_lock(a_runtime_artifact(), a_model_artifact(), a_model_artifact("small"))
    assert "precision" not in runtime_of(site, alike)["shadow"]
