"""What a pipeline keeps: masked before it is kept, bounded, in files that are whole, and nothing unless asked."""

import io
import json
import os
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.captures import DIGEST, a_kept, a_model, read
from support.runtime import MODEL, SCENES, a_pipeline_file, running, some_stages

from edgeform_runtime.drift import Drift, DriftWatch, features_of
from edgeform_runtime.errors import FrameError, PipelineInvalid
from edgeform_runtime.metrics import Metrics
from edgeform_runtime.pipeline import stages_of
from edgeform_runtime.pipeline.recording import Mask, Recording, Region
from edgeform_runtime.recording.files import Files
from edgeform_runtime.recording.masks import masked
from edgeform_runtime.recording.recorder import Recorder
from edgeform_runtime.stages.content import npy_of, series_of
from edgeform_runtime.stages.contract import Place
from edgeform_runtime.stages.preprocess import decode
from edgeform_wire import canonical, reference
from edgeform_wire.capture import About, Kept, Model
from edgeform_wire.rules import VOCABULARIES

SCENE = (SCENES / "scene-00-digit-8.png").read_bytes()
STAGE = Recording(
    frames=8,
    ring_bytes=2**20,
    when=None,
    drift_above=None,
    on_failure=True,
    cooldown_s=0.0,
    mask=Mask(),
    max_bytes=100_000,
    max_age_s=3600.0,
)


def files_of(prefix, name="gate"):
    folder = prefix.path / "results" / name / "captures"
    return sorted(folder.glob("*")) if folder.exists() else []


def recording_daemon(prefix, **recording):
    prefix.put_model()
    stages = some_stages(recording={"frames": 8, **recording})
    return running(prefix, prefix.put_pipeline(a_pipeline_file(stages=stages)))


def push(daemon, count, content=SCENE):
    before = daemon.state()["frames"]["inferred"]
    for n in range(count):
        assert daemon.http().post("/v1/frames", content, {"X-Frame-Name": f"f{n}"})[0] == 202
    daemon.wait_for(lambda s: s["frames"]["inferred"] == before + count)


def test_without_a_recording_nothing_is_kept_and_that_is_said(daemon):
    push(daemon, 1)
    with daemon.control() as control:
        answer, _ = control.ask("dump", reason="request")
    assert "records nothing" in answer["error"]["summary"]
    assert not (daemon.log_path.parents[1] / "results" / "gate" / "captures").exists()


def test_a_request_makes_a_file_that_holds_the_last_frames_and_what_answered(prefix):
    with recording_daemon(prefix, frames=3) as daemon:
        push(daemon, 5)
        with daemon.control() as control:
            made = control.ok("dump", reason="request", detail="ann@desk")
    assert made["frames"] == 3
    (path,) = files_of(prefix)
    assert (path.name, path.stat().st_size) == (made["name"], made["size_bytes"])
    about, model, *frames = read(path.read_bytes())
    assert isinstance(about, About)
    assert (about.reason, about.detail, about.device) == ("request", "ann@desk", "cam-01")
    assert isinstance(model, Model)
    assert model.model_ref == "digits@1.0.0/f32"
    assert set(model.stages) == {"media", "preprocess", "infer", "postprocess", "runtime"}
    assert [f.sequence for f in frames] == [3, 4, 5]
    assert all(f.content == SCENE and not f.is_masked for f in frames)
    assert [o.name for o in frames[0].outputs] == ["logits"]
    assert frames[0].result["classes"][0]["label"] == "8"


def test_the_same_frame_again_gives_the_recorded_bits(prefix):
    with recording_daemon(prefix) as daemon:
        push(daemon, 1)
        with daemon.control() as control:
            control.ok("dump", reason="request")
            _, body = control.ask("infer", SCENE, slot="live", level="encoded")
    kept = read(files_of(prefix)[0].read_bytes())[-1]
    assert kept.outputs[0].content == body


def test_a_rule_makes_one_file_and_then_rests(prefix):
    with recording_daemon(prefix, when="score > 0.1", cooldown_s=600) as daemon:
        push(daemon, 4)
        deadline = time.monotonic() + 20
        while not [f for f in files_of(prefix) if f.suffix == ".efcap"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        push(daemon, 2)
        _, text = daemon.http().get("/metrics")
    (path,) = files_of(prefix)
    assert path.name.endswith("-rule.efcap")
    assert read(path.read_bytes())[0].detail == "score > 0.1"
    assert b'edgeform_captures_total{pipeline="gate",outcome="ok",reason="rule"} 1' in text


def test_a_failure_is_one_story_and_one_file(prefix):
    with recording_daemon(prefix) as daemon:
        push(daemon, 1)
        with daemon.control() as control:
            first = control.ok("dump", reason="gate_failure", detail="golden: 3 of 8")
            again = control.ok("dump", reason="rollback", detail="Checks failed.")
    assert first["frames"] == 1
    assert (again["name"], again["frames"]) == ("", 0)


def test_a_shadow_keeps_what_the_tool_showed_it(prefix):
    prefix.put_model()
    stages = some_stages(recording={})
    path = prefix.put_pipeline(a_pipeline_file(stages=stages | {"recording": {"frames": 8}}))
    with running(prefix, path, is_shadow=True) as daemon, daemon.control() as control:
        control.ask("infer", SCENE, slot="live", level="encoded")
        assert control.ok("dump", reason="gate_failure")["frames"] == 1
    kept = read(files_of(prefix)[0].read_bytes())[-1]
    assert (kept.source, kept.content) == ("control", SCENE)


def test_what_is_masked_is_black_before_it_is_in_memory_and_in_the_file(prefix):
    mask = {"regions": [{"left": 0.25, "top": 0.5, "width": 0.5, "height": 0.5}]}
    with recording_daemon(prefix, mask=mask) as daemon:
        push(daemon, 2)
        push_broken(daemon)
        with daemon.control() as control:
            control.ok("dump", reason="request")
    about, _, *frames = read(files_of(prefix)[0].read_bytes())
    assert about.masks == mask
    assert len(frames) == 2
    whole = decode(SCENE)
    height, width = whole.shape[:2]
    for frame in frames:
        assert frame.is_masked
        pixels = decode(frame.content)
        assert not pixels[height // 2 :, width // 4 : width // 4 * 3].any()
        assert (pixels[: height // 2 - 1] == whole[: height // 2 - 1]).all()


def push_broken(daemon):
    daemon.http().post("/v1/frames", b"broken")
    daemon.wait_for(lambda s: s["frames"]["failed"] == 1)


@pytest.mark.parametrize("size", [(64, 48), (640, 480), (37, 91)])
def test_a_region_covers_as_much_at_every_resolution(size):
    stream = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), 200, np.uint8)).save(stream, "PNG")
    black = decode(masked(stream.getvalue(), Mask(regions=(Region(0.1, 0.1, 0.33, 0.5),)))) == 0
    share = black[:, :, 0].mean()
    assert 0.33 * 0.5 <= share <= 0.33 * 0.5 + 2 / size[0] + 2 / size[1]


def test_channels_and_texts_are_masked():
    rows = np.arange(12, dtype=np.float32).reshape(4, 3) + 1
    found = series_of(masked(npy_of(rows), Mask(channels=(1, 9))))
    assert not found[:, 1].any()
    assert (found[:, [0, 2]] == rows[:, [0, 2]]).all()
    text = masked(b"Call Ann: ann.b@x.example, 030-12.", Mask(text=("digits", "emails")))
    assert text.decode() == "Call Ann: ███████████████, ███-██."
    with pytest.raises(FrameError):
        masked(b"\xff", Mask(text=("digits",)))


@pytest.mark.parametrize("text", ["a@" * 50_000, "@" * 100_000, "1" * 100_000, "x" * 100_000 + "@"])
def test_masking_a_text_takes_time_in_proportion_to_its_length(text):
    began = time.process_time()
    masked(text.encode(), Mask(text=("digits", "emails")))
    assert time.process_time() - began < 2.0


def write(size):
    return lambda stream: stream.write(b"x" * size)


def test_old_files_and_the_oldest_files_make_room(tmp_path):
    clock = [1_795_000_000.0]
    files = Files(str(tmp_path), "gate", STAGE, lambda: clock[0])
    names = []
    for n in range(4):
        name, _ = files.put("request", 40_000, write(40_000))
        names.append(name)
        os.utime(tmp_path / "results/gate/captures" / name, (clock[0] + n, clock[0] + n))
    left = sorted(p.name for p in (tmp_path / "results/gate/captures").iterdir())
    assert left == names[-2:]
    clock[0] += 3603.0  # the first of the two is older than an hour now, by two seconds
    files.prune()
    clock[0] += 10.0
    files.prune()
    assert not list((tmp_path / "results/gate/captures").iterdir())


def test_a_clock_that_was_never_set_ages_nothing_and_bytes_still_count(tmp_path):
    files = Files(str(tmp_path), "gate", STAGE, lambda: 1000.0)
    name, _ = files.put("request", 10, write(10))
    path = tmp_path / "results/gate/captures" / name
    os.utime(path, (900.0, 900.0))
    later = Files(str(tmp_path), "gate", STAGE, lambda: 1_795_000_000.0)
    later.prune()
    assert path.exists()
    later.put("request", 99_995, write(99_995))
    assert not path.exists()


def test_a_disk_that_is_full_leaves_nothing_half_written(tmp_path):
    files = Files(str(tmp_path), "gate", STAGE)

    def fail(stream):
        stream.write(b"begun")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        files.put("request", 10, fail)
    assert list((tmp_path / "results/gate/captures").iterdir()) == []
    with pytest.raises(OSError, match="all may take"):
        files.put("request", 200_000, write(1))


@pytest.mark.parametrize(
    ("recording", "words"),
    [
        ({"frames": 0}, "frames"),
        ({"ring_bytes": 1}, "ring_bytes"),
        ({"when": "scor > 1"}, "no field of the result"),
        ({"mask": {"channels": [1]}}, "mask.channels is for series"),
        (
            {"mask": {"regions": [{"left": 2, "top": 0, "width": 1, "height": 1}]}},
            "not from 0 to 1",
        ),
        ({"mask": {"faces": True}}, "unknown field 'faces'"),
        ({"upload": "s3"}, "unknown field 'upload'"),
    ],
)
def test_a_recording_that_cannot_be_is_refused(recording, words):
    with pytest.raises(PipelineInvalid, match=words):
        stages_of(some_stages(recording={"frames": 4} | recording))


def test_drift_is_told_once_inputs_have_moved_and_not_before():
    clock = [0.0]
    metrics = Metrics("gate")
    watch = DriftWatch(metrics, lambda: clock[0])
    chance = np.random.default_rng(5)

    def image(mean):
        return {"x": chance.normal(mean, 1.0, (1, 3, 8, 8)).astype(np.float32)}

    held = reference.reference_of([features_of(image(0.0)) for _ in range(400)], DIGEST)
    model = object()
    for _ in range(300):
        clock[0] += 1.0
        watch.add(model, held, image(0.0))
    assert not watch.latest().is_shifted
    for _ in range(300):
        clock[0] += 1.0
        watch.add(model, held, image(0.4))
    found = watch.latest()
    assert found.is_shifted
    assert found.feature.startswith("mean")
    assert metrics.drifted.total() == 1.0
    assert metrics.drift()["is_shifted"] is True
    watch.add(object(), None, image(0.4))
    assert (watch.latest(), metrics.drift()) == (None, None)


def test_looking_for_drift_is_rationed():
    clock = [0.0]
    watch = DriftWatch(Metrics("gate"), lambda: clock[0])
    seen = []
    held = reference.reference_of([{"mean": float(n)} for n in range(60)], DIGEST)
    watch._begin(held, held)
    feeds = {"x": np.zeros((1, 4), np.float32)}
    for _ in range(1000):
        clock[0] += 0.001
        watch.add(held, held, feeds)
        seen.append(len(watch._bins[0]))
    assert max(seen) <= 6


def test_channels_are_found_in_either_layout():
    def names(shape):
        return sorted(features_of({"x": np.zeros(shape, np.float32)}))

    three = ["mean", "mean.0", "mean.1", "mean.2", "spread", "spread.0", "spread.1", "spread.2"]
    assert names((1, 3, 8, 8)) == names((1, 8, 8, 3)) == three
    assert names((1, 1, 64, 64)) == names((1, 32)) == names((1, 100, 40)) == ["mean", "spread"]


def test_a_signed_reference_is_used_and_a_damaged_one_is_refused(prefix):
    prefix.put_model()
    steps = some_stages()["preprocess"]
    seen = [{"mean": 50.0 + n, "spread": 1.0} for n in range(60)]
    held = reference.reference_of(seen, canonical.digest_of(steps))
    folder = prefix.path / "trees/model/drift"
    folder.mkdir()
    (folder / "reference.json").write_bytes(held.encoded())
    path = prefix.put_pipeline(a_pipeline_file())
    with running(prefix, path) as daemon, daemon.control() as control:
        answer, _ = control.ask("features", SCENE, slot="live")
        assert sorted(answer["features"]) == ["mean", "spread"]
        assert answer["preprocess_digest"] == held.preprocess_digest
        figures = control.ok("figures")
        assert figures["drift"] is None
        assert set(figures["recent"]) == {
            "infer_p50_ms",
            "infer_p95_ms",
            "frame_p50_ms",
            "frame_p95_ms",
        }
    (folder / "reference.json").write_bytes(held.encoded()[:-5])
    with running(prefix, path, wait=False) as daemon:
        assert daemon.process.wait(30) == 3
    assert "drift/reference.json cannot be read" in daemon.log()[-1]["detail"]


def test_the_ring_stays_within_its_bytes(prefix):
    with recording_daemon(prefix, frames=4096, ring_bytes=65536) as daemon:
        push(daemon, 40)
        with daemon.control() as control:
            made = control.ok("dump", reason="request")
    assert 0 < made["frames"] < 40
    assert made["size_bytes"] < 65536 + 4096


def test_a_kept_record_says_how_large_it_is():
    kept = Kept(1, "a", "capture", 0.0, False, DIGEST, {}, 0.1, b"12345")
    assert kept.size_bytes == 5
    assert replace(kept, content=b"").size_bytes == 0
    assert json.loads(json.dumps(STAGE.mask.to_json())) == {}
    assert (MODEL / "model.onnx").exists()


def test_inputs_that_moved_further_than_the_spec_allows_make_a_file(tmp_path):
    stage = replace(STAGE, drift_above=0.3)
    place = Place(prefix=str(tmp_path), pipeline="gate")
    recorder = Recorder(stage, place, Metrics("gate"), VOCABULARIES["classify"])
    recorder._ring.append((a_model(), a_kept()))
    recorder.start()
    recorder.drifted(Drift("mean.0", 0.29, 500, 0.1))
    recorder.drifted(Drift("mean.0", 0.5, 100, 0.6))  # as large by chance
    folder = tmp_path / "results/gate/captures"
    time.sleep(0.3)
    assert not folder.exists() or list(folder.iterdir()) == []
    recorder.drifted(Drift("mean.0", 0.5, 500, 0.1))
    deadline = time.monotonic() + 20
    while not (folder.exists() and [p for p in folder.iterdir() if p.suffix == ".efcap"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    recorder.close()
    (path,) = folder.iterdir()
    assert read(path.read_bytes())[0].detail == "PSI of mean.0 is 0.500, above 0.3"
