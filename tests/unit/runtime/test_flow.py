"""Queues, capture, storage, reports: what happens to frames, without and with the daemon around them."""

import json
import os
import threading
import time

import pytest
from support.runtime import SCENES, a_pipeline_file, running, some_stages
from support.sources import Heard

from edgeform_runtime.frames import BoundedQueue, Frame, Inferred
from edgeform_runtime.pipeline.action import StoreLocally, Trigger
from edgeform_runtime.pipeline.capture import ImageDirectory
from edgeform_runtime.stages.action.store import ResultStore
from edgeform_runtime.stages.capture.directory import DirectorySource

ALWAYS = Trigger(when=None, for_s=0.0, cooldown_s=0.0)


def a_frame(n=1, content=b"x"):
    return Frame(sequence=n, name=f"f{n}.png", content=content, captured_at=0.0, captured=0.0)


def a_result(n=1, content=b"x"):
    return Inferred(
        frame=a_frame(n, content),
        result={"kind": "classify", "classes": [{"index": 1, "label": "1", "score": 0.9}]},
        model_ref="digits@1.0.0/f32",
        generation=1,
        seconds={"infer": 0.001},
    )


def a_queue(policy, size=2):
    dropped = []
    return BoundedQueue(size, policy, dropped.append), dropped


def test_drop_oldest_lets_the_longest_waiting_go():
    queue, dropped = a_queue("drop_oldest")
    assert [queue.put(n) for n in (1, 2, 3, 4)] == [True] * 4
    assert dropped == [1, 2]
    assert [queue.get(0), queue.get(0), queue.get(0)] == [3, 4, None]


def test_drop_latest_lets_the_new_one_go():
    queue, dropped = a_queue("drop_latest")
    assert [queue.put(n) for n in (1, 2, 3)] == [True, True, False]
    assert dropped == [3]
    assert queue.get(0) == 1


def test_wait_blocks_until_there_is_room_and_drops_nothing():
    queue, dropped = a_queue("wait", size=1)
    queue.put(1)
    thread = threading.Thread(target=queue.put, args=(2,))
    thread.start()
    assert thread.is_alive()
    assert queue.get(1) == 1
    thread.join(5)
    assert not thread.is_alive()
    assert queue.get(1) == 2
    assert dropped == []


def test_wait_with_a_timeout_drops_what_found_no_room():
    queue, dropped = a_queue("wait", size=1)
    queue.put(1)
    assert queue.put(2, timeout_s=0.01) is False
    assert dropped == [2]


@pytest.mark.parametrize("policy", ["wait", "drop_oldest", "drop_latest"])
def test_a_closed_queue_takes_nothing_and_wakes_whoever_waits(policy):
    queue, dropped = a_queue(policy)
    queue.put(1)
    queue.close()
    assert queue.put(2) is False
    assert dropped == [2]
    assert queue.get(5) == 1
    started = time.monotonic()
    assert queue.get(5) is None
    assert time.monotonic() - started < 1


def files_of(path):
    return sorted(path.rglob("*.jsonl"))


def size_of(path):
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def test_results_are_lines_and_the_oldest_go_at_the_limit(tmp_path):
    store = ResultStore(StoreLocally("results", 20_000, 1e9, "none", ALWAYS), str(tmp_path), "gate")
    for n in range(400):
        store.write(a_result(n))
        assert size_of(tmp_path) <= 20_000
    lines = [json.loads(x) for f in files_of(tmp_path / "results/gate") for x in f.open()]
    numbers = [line["sequence"] for line in lines]
    assert numbers == list(range(numbers[0], 400))
    assert 60 < len(numbers) < 200
    assert lines[-1]["result"]["classes"][0]["label"] == "1"


def test_frames_are_kept_beside_results_within_the_same_limit(tmp_path):
    store = ResultStore(
        StoreLocally("results", 50_000, 1e9, "encoded", ALWAYS), str(tmp_path), "gate"
    )
    for n in range(30):
        store.write(a_result(n, b"\x89PNG" + bytes([n]) * 5000))
        assert size_of(tmp_path) <= 50_000
    kept = sorted((tmp_path / "results/gate").glob("*.png"))
    assert 5 <= len(kept) <= 10
    assert kept[-1].read_bytes()[-1] == 29


@pytest.mark.parametrize(
    ("start", "ending"),
    [
        (b"\x89PNG\r\n", "png"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "webp"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "wav"),
        (b"\x93NUMPY\x01\0", "npy"),
        (b"P6\n4 4\n255\n", "ppm"),
        (b"14:20 Press 3 stopped", "bin"),
    ],
)
def test_a_kept_frame_has_the_ending_of_what_it_is(tmp_path, start, ending):
    store = ResultStore(
        StoreLocally("results", 50_000, 1e9, "encoded", ALWAYS), str(tmp_path), "gate"
    )
    store.write(a_result(0, start))
    (kept,) = (f for f in tmp_path.rglob("*") if f.is_file() and f.suffix != ".jsonl")
    assert kept.suffix == f".{ending}"


def test_a_hostile_frame_name_stays_in_its_directory(tmp_path):
    store = ResultStore(
        StoreLocally("results", 50_000, 1e9, "encoded", ALWAYS), str(tmp_path), "gate"
    )
    hostile = a_result()
    object.__setattr__(hostile.frame, "name", "../../../etc/cron.d/evil\n")
    store.write(hostile)
    inside = {f.parent for f in tmp_path.rglob("*") if f.is_file()}
    assert inside == {tmp_path / "results/gate"}


def test_old_results_go_by_age_but_not_because_a_clock_was_never_set(tmp_path):
    now = [1_800_000_000.0]
    stage = StoreLocally("results", 4096 * 4, 3600.0, "none", ALWAYS)
    store = ResultStore(stage, str(tmp_path), "gate", clock=lambda: now[0])
    directory = tmp_path / "results/gate"
    directory.mkdir(parents=True)
    for name, changed in (("a-old", now[0] - 7200), ("b-unset", 86_400.0), ("c-new", now[0] - 60)):
        (directory / f"{name}.jsonl").write_text("{}\n")
        os.utime(directory / f"{name}.jsonl", (changed, changed))
    store.write(a_result())
    names = {f.name for f in directory.iterdir()}
    assert "a-old.jsonl" not in names
    assert {"b-unset.jsonl", "c-new.jsonl"} <= names


def source(tmp_path, after, stop, interval_s=0.0):
    stage = ImageDirectory(path=str(tmp_path), pattern="*.png", interval_s=interval_s, after=after)
    return DirectorySource(stage, "/", stop)


def fill(path, count=3):
    for n in range(count):
        (path / f"{n}.png").write_bytes(b"frame %d" % n)
    (path / "other.txt").write_bytes(b"no frame")
    (path / ".hidden.png").write_bytes(b"still being written")


def test_keep_plays_the_files_again_in_order_of_name(tmp_path):
    fill(tmp_path)
    stop = threading.Event()
    names = []
    for frame in source(tmp_path, "keep", stop).frames(Heard().notices()):
        names.append(frame.name)
        frame.finish("done")
        if len(names) == 7:
            stop.set()
    assert names == ["0.png", "1.png", "2.png"] * 2 + ["0.png"]


@pytest.mark.parametrize(("after", "where"), [("delete", None), ("move", "done")])
def test_a_file_goes_only_when_the_pipeline_is_through_with_it(tmp_path, after, where):
    fill(tmp_path)
    stop = threading.Event()
    taken = []
    for frame in source(tmp_path, after, stop).frames(Heard().notices()):
        assert (tmp_path / frame.name).exists()
        taken.append(frame)
        if len(taken) == 3:
            stop.set()
    assert len(list(tmp_path.glob("?.png"))) == 3
    for frame in taken:
        frame.finish("done")
    assert list(tmp_path.glob("?.png")) == []
    if where:
        assert len(list((tmp_path / where).iterdir())) == 3


def test_a_failed_file_is_set_aside_under_failed(tmp_path):
    fill(tmp_path, 1)
    stop = threading.Event()
    for frame in source(tmp_path, "move", stop).frames(Heard().notices()):
        frame.finish("failed")
        stop.set()
    assert (tmp_path / "failed" / "0.png").exists()


def test_a_pipe_among_the_files_does_not_stop_the_source(tmp_path):
    fill(tmp_path, 2)
    os.mkfifo(tmp_path / "0a.png")
    stop, heard = threading.Event(), Heard()
    names = []
    for frame in source(tmp_path, "keep", stop).frames(heard.notices()):
        names.append(frame.name)
        frame.finish("done")
        if len(names) == 2:
            stop.set()
    assert names == ["0.png", "1.png"]
    assert heard.failures == ["not_a_file"]


def a_directory_pipeline(path, **changes):
    capture = {"kind": "image_directory", "path": str(path), "interval_s": 0.01}
    return a_pipeline_file(
        stages=some_stages(
            capture=capture | changes, report=[{"kind": "json_lines", "every_s": 0.2}]
        )
    )


def test_the_lab_scenes_flow_from_the_directory_to_results_and_reports(prefix):
    prefix.put_model()
    with running(prefix, prefix.put_pipeline(a_directory_pipeline(SCENES))) as daemon:
        daemon.wait_for(lambda s: s["frames"]["inferred"] >= 20)
        assert daemon.stop() == 0
        reports = daemon.reports()
    lines = [json.loads(x) for f in files_of(prefix.path / "results/gate") for x in f.open()]
    assert len(lines) >= 20
    right = [x["frame"].split("-")[3][0] == x["result"]["classes"][0]["label"] for x in lines]
    assert sum(right) / len(right) >= 0.9
    assert reports
    assert sum(r["results"] for r in reports) == len(lines)
    told = next(
        r for r in reports if r["results"]
    )  # the first period may end before a first result
    assert set(told) >= {"event", "pipeline", "labels", "p50_ms", "last"}


def test_corrupt_frames_are_counted_and_never_fatal(prefix):
    frames = prefix.path / "in"
    frames.mkdir()
    whole = (SCENES / "scene-00-digit-8.png").read_bytes()
    (frames / "1-cut.png").write_bytes(whole[:5000])
    (frames / "2-text.png").write_text("no picture at all")
    (frames / "3-empty.png").write_bytes(b"")
    (frames / "4-good.png").write_bytes(whole)
    prefix.put_model()
    file = a_directory_pipeline(frames, after="move")
    with running(prefix, prefix.put_pipeline(file)) as daemon:
        state = daemon.wait_for(lambda s: s["frames"]["inferred"] == 1)
        assert state["frames"] == {"captured": 4, "inferred": 1, "dropped": 0, "failed": 3}
        assert state["phase"] == "ready"
        assert "3-empty.png" in state["last_error"]
        daemon.stop()
    assert len(list((frames / "failed").iterdir())) == 3
    assert len(list((frames / "done").iterdir())) == 1


def test_a_directory_that_comes_later_is_waited_for(prefix):
    prefix.put_model()
    late = prefix.path / "late"
    with running(prefix, prefix.put_pipeline(a_directory_pipeline(late))) as daemon:
        assert daemon.state()["phase"] == "ready"
        late.mkdir()
        (late / "a.png").write_bytes((SCENES / "scene-00-digit-8.png").read_bytes())
        daemon.wait_for(lambda s: s["frames"]["inferred"] >= 1)


def test_sigterm_finishes_what_is_in_flight(prefix):
    prefix.put_model()
    stages = some_stages(infer={"queue": 32, "when_full": "drop_latest", "timeout_s": 5.0})
    scene = (SCENES / "scene-00-digit-8.png").read_bytes()
    with running(prefix, prefix.put_pipeline(a_pipeline_file(stages=stages))) as daemon:
        http = daemon.http()
        accepted = sum(http.post("/v1/frames", scene)[0] == 202 for _ in range(25))
        assert daemon.stop() == 0
        stopped = daemon.log()[-1]
    assert stopped["event"] == "stopped"
    assert stopped["drained"] is True
    assert stopped["frames"]["inferred"] == accepted == 25
    lines = [x for f in files_of(prefix.path / "results/gate") for x in f.open()]
    assert len(lines) == 25
    assert list((prefix.path / "run").glob("*.sock")) == []


def test_a_full_queue_is_said_to_whoever_pushes(prefix):
    prefix.put_model()
    stages = some_stages(infer={"queue": 1, "when_full": "drop_latest"})
    scene = (SCENES / "scene-00-digit-8.png").read_bytes()
    with running(prefix, prefix.put_pipeline(a_pipeline_file(stages=stages))) as daemon:
        http = daemon.http()
        answers = [http.post("/v1/frames", scene) for _ in range(40)]
        refused = sum(status == 503 for status, _, _ in answers)
        assert refused > 0
        assert all(h.get("Retry-After") == "1" for status, h, _ in answers if status == 503)
        state = daemon.wait_for(lambda s: s["frames"]["inferred"] + s["frames"]["dropped"] == 40)
    assert state["frames"]["dropped"] == refused


def test_a_disk_that_takes_nothing_does_not_stop_inference(prefix):
    prefix.put_model()
    (prefix.path / "results").write_text("a file where the directory should be")
    with running(prefix, prefix.put_pipeline(a_pipeline_file())) as daemon:
        daemon.http().post("/v1/frames", (SCENES / "scene-00-digit-8.png").read_bytes())
        state = daemon.wait_for(lambda s: s["last_error"] is not None)
        text = daemon.http().get("/metrics")[1].decode()
    assert state["phase"] == "ready"
    assert state["frames"]["inferred"] == 1
    assert 'edgeform_actions_total{pipeline="gate",kind="store",outcome="failed"} 1' in text


def test_a_shadow_answers_its_socket_and_does_nothing_else(prefix):
    prefix.put_model()
    path = prefix.put_pipeline(a_directory_pipeline(SCENES))
    with running(prefix, path, name="gate.shadow", is_shadow=True) as daemon:
        with daemon.control() as control:
            answer = control.ok(
                "infer",
                (SCENES / "scene-00-digit-8.png").read_bytes(),
                slot="live",
                level="encoded",
            )
        assert answer["result"]["classes"][0]["label"] == "8"
        assert daemon.state()["frames"]["captured"] == 0
        assert [p.name for p in (prefix.path / "run").glob("*.sock")] == ["gate.shadow.sock"]
        assert daemon.stop() == 0
        assert daemon.reports() == []
    assert not (prefix.path / "results").exists()


def test_two_daemons_do_not_share_a_socket(prefix, daemon):
    path = prefix.put_pipeline(a_pipeline_file())
    with running(prefix, path, wait=False) as second:
        assert second.process.wait(30) == 3
        assert "another process answers" in second.log()[-1]["detail"]
    # the first one's log was truncated by the second; its socket still answers
    assert daemon.state()["phase"] == "ready"
