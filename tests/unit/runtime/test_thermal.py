"""The thermal ladder: by itself as a pure step, and in the running daemon with a temperature that moves."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runtime import MODEL, SCENES, a_pipeline_file, running, some_stages

from edgeform_runtime.errors import PipelineInvalid
from edgeform_runtime.pipeline import stages_of
from edgeform_runtime.thermal import Position, moved, reading
from edgeform_wire.vitals.heat import Temperature

SMALL = "sha256:" + "5" * 64
SCENE = (SCENES / "scene-00-digit-8.png").read_bytes()
LADDER = {
    "sensor": "cpu-thermal",
    "hysteresis_celsius": 5.0,
    "hold_s": 10.0,
    "slow": {"celsius": 70.0, "fps": 2.0},
    "smaller": {"celsius": 80.0, "model": SMALL, "model_ref": "digits@1.0.0/small"},
    "pause": {"celsius": 90.0},
}


def the_ladder(**changes):
    return stages_of(some_stages(thermal=LADDER | changes)).thermal


def walked(*steps, ladder=None):
    """The rung after each (seconds, temperature)."""
    ladder, position, found = ladder or the_ladder(), Position(), []
    for at_s, celsius in steps:
        position = moved(ladder, position, celsius, at_s)
        found.append(position.index)
    return found


def test_it_goes_up_at_once_also_over_several_rungs():
    assert walked((0, 69.9), (1, 70), (2, 95)) == [0, 1, 3]


def test_it_goes_down_one_rung_at_a_time_after_it_was_cooler_for_the_hold_time():
    steps = [(0, 95), (1, 84), (10, 84), (11, 84), (12, 74), (21, 74), (22, 60), (32, 60), (42, 60)]
    assert walked(*steps) == [3, 3, 3, 2, 2, 2, 1, 1, 0]


def test_within_the_hysteresis_it_stays_where_it_is():
    assert walked((0, 70), (20, 66), (60, 69), (100, 65.1), (200, 66)) == [1, 1, 1, 1, 1]


def test_a_moment_of_heat_begins_the_hold_anew():
    assert walked((0, 70), (1, 60), (9, 66), (10, 60), (19, 60), (20, 60)) == [1, 1, 1, 1, 1, 0]


def test_a_sensor_that_is_gone_holds_the_rung():
    assert walked((0, 85), (1, None), (500, None), (501, 60), (511, 60)) == [2, 2, 2, 2, 1]
    sensors = (Temperature("gpu-thermal", 99.0, None), Temperature("cpu-thermal", 50.0, None))
    assert reading(the_ladder(), sensors) == 50.0
    assert reading(the_ladder(sensor=""), sensors) == 99.0
    assert reading(the_ladder(sensor="gone"), sensors) is None


@given(st.lists(st.floats(60, 95), min_size=1, max_size=60))
def test_it_never_stands_below_a_rung_that_is_reached_and_moves_down_by_one(temperatures):
    ladder, position = the_ladder(hold_s=0.0), Position()
    for at_s, celsius in enumerate(temperatures):
        before = position.index
        position = moved(ladder, position, celsius, float(at_s))
        assert position.index >= sum(celsius >= rung.celsius for rung in ladder.rungs)
        assert position.index >= before - 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pause": {"celsius": 80.0}}, "pause begins below smaller"),
        ({"slow": {"celsius": 70.0}}, "fps"),
        ({"smaller": {"celsius": 80.0, "model": "nothing", "model_ref": "x"}}, "model"),
        ({"fan": {}}, "fan"),
    ],
)
def test_a_ladder_that_cannot_be_climbed_is_refused(changes, words):
    with pytest.raises(PipelineInvalid, match=words):
        the_ladder(**changes)


class Hot:
    """A root whose only sensor says what a test wants."""

    def __init__(self, folder):
        self.root = folder / "root"
        self._zone = self.root / "sys/class/thermal/thermal_zone0"
        self._zone.mkdir(parents=True)
        (self._zone / "type").write_text("cpu-thermal\n")
        self.at(40)

    def at(self, celsius):
        (self._zone / "temp").write_text(f"{celsius * 1000:.0f}\n")

    def unplug(self):
        (self._zone / "temp").unlink()


@pytest.fixture
def hot(tmp_path):
    return Hot(tmp_path)


def daemon_on(prefix, hot, **changes):
    prefix.put_model()
    prefix.put_model(tree="trees/" + "5" * 64, source=MODEL)
    stages = some_stages(
        thermal=LADDER | {"hold_s": 0.0} | changes,
        report=[{"kind": "json_lines", "every_s": 1}],
        infer={"timeout_s": 5.0, "queue": 2, "when_full": "drop_latest"},
    )
    path = prefix.put_pipeline(a_pipeline_file(stages=stages))
    return running(prefix, path, extra=("--root", str(hot.root)))


def rung(state):
    return state["thermal"]["rung"]


def test_a_hot_pipeline_slows_down_answers_with_the_smaller_model_and_pauses(prefix, hot):
    with daemon_on(prefix, hot) as daemon:
        assert set(daemon.state()["slots"]) == {"live", "smaller"}
        hot.at(85)
        state = daemon.wait_for(lambda s: rung(s) == "smaller")
        assert "85.0 °C; smaller begins at 80 °C" in state["thermal"]["why"]
        assert "thermal: none -> smaller" in state["last_error"]
        http = daemon.http()
        for _ in range(5):
            http.post("/v1/frames", SCENE)
            time.sleep(0.05)
        daemon.wait_for(lambda s: s["frames"]["inferred"] >= 1)
        daemon.wait_for(lambda s: s["frames"]["dropped"] >= 1)
        text = http.get("/metrics")[1].decode()
        assert 'edgeform_thermal_rung{pipeline="gate"} 2' in text
        assert 'edgeform_thermal_changes_total{pipeline="gate",rung="smaller"} 1' in text
        assert 'reason="thermal_slow"' in text
        small = 'edgeform_infer_requests_total{pipeline="gate",outcome="ok",source="capture"'
        assert f'{small},variant="digits@1.0.0/small"' in text

        hot.at(95)
        daemon.wait_for(lambda s: rung(s) == "pause")
        before = daemon.state()["frames"]
        http.post("/v1/frames", SCENE)
        after = daemon.wait_for(lambda s: s["frames"]["dropped"] > before["dropped"])["frames"]
        assert after["inferred"] == before["inferred"]
        assert 'reason="thermal_pause"' in http.get("/metrics")[1].decode()

        hot.at(40)
        daemon.wait_for(lambda s: rung(s) == "none", timeout_s=30)
        http.post("/v1/frames", SCENE)
        daemon.wait_for(lambda s: s["frames"]["inferred"] > after["inferred"])
        said = [(e["before"], e["rung"]) for e in daemon.log() if e["event"] == "thermal_rung"]
        steps = [("none", "smaller"), ("smaller", "pause"), ("pause", "smaller")]
        assert said == [*steps, ("smaller", "slow"), ("slow", "none")]


def test_a_paused_pipeline_refuses_inference_over_http_and_says_why(prefix, hot):
    hot.at(95)
    with daemon_on(prefix, hot) as daemon:
        daemon.wait_for(lambda s: rung(s) == "pause")
        status, _, body = daemon.http().post("/v2/models/digits/infer", b"{}")
        assert status == 503
        assert b"too hot" in body


def test_a_sensor_that_goes_is_said_and_the_rung_stays(prefix, hot):
    hot.at(72)
    with daemon_on(prefix, hot) as daemon:
        daemon.wait_for(lambda s: rung(s) == "slow")
        hot.unplug()
        state = daemon.wait_for(lambda s: s["thermal"]["celsius"] is None)
        assert rung(state) == "slow"
        assert (
            'edgeform_thermal_sensor_up{pipeline="gate"} 0'
            in daemon.http().get("/metrics")[1].decode()
        )


def test_where_no_frame_may_be_lost_heat_makes_them_wait(prefix, hot, tmp_path):
    """A folder of pictures: at two a second none is dropped, and in a pause none is taken."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(4):
        (frames / f"{number}.png").write_bytes(SCENE)
    prefix.put_model()
    prefix.put_model(tree="trees/" + "5" * 64, source=MODEL)
    hot.at(95)
    stages = some_stages(
        capture={"kind": "image_directory", "path": str(frames), "interval_s": 0.01},
        thermal=LADDER | {"hold_s": 0.0},
    )
    path = prefix.put_pipeline(a_pipeline_file(stages=stages))
    with running(prefix, path, extra=("--root", str(hot.root))) as daemon:
        daemon.wait_for(lambda s: rung(s) == "pause")
        done = daemon.state()["frames"]["inferred"]
        time.sleep(1.0)
        assert daemon.state()["frames"]["inferred"] <= done + 1
        hot.at(40)
        state = daemon.wait_for(lambda s: s["frames"]["inferred"] >= 4)
        assert state["frames"]["dropped"] == 0


def test_a_companion_that_does_not_fit_is_refused_when_the_pipeline_starts(prefix, hot):
    prefix.put_model()
    stages = some_stages(thermal=LADDER)
    path = prefix.put_pipeline(a_pipeline_file(stages=stages))
    with running(prefix, path, extra=("--root", str(hot.root)), wait=False) as daemon:
        assert daemon.process.wait(60) == 3
        assert "digits@1.0.0/small" in daemon.log()[-1]["detail"]
