import contextlib
import http.server
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.mosquitto import free_port
from support.sources import Heard, listening, quick_backoff

from edgeform_runtime.errors import PipelineInvalid
from edgeform_runtime.pipeline.capture import V4l2, VideoFile, VideoStream
from edgeform_runtime.stages import preprocess
from edgeform_runtime.stages.capture.following import SourceLost
from edgeform_runtime.stages.capture.video import VideoSource, address_of

SERVER = Path(__file__).resolve().parents[2] / "support" / "rtsp_server.py"
SYSTEM_PYTHON = "/usr/bin/python3"


def film(path, frames=10, codec="mjpeg", rate=10):
    """Frame n is grey of level 12 n, so that order and loss show."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.time_base = 64, 48, Fraction(1, rate)
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for n in range(frames):
            pixels = np.full((48, 64, 3), 12 * n, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def video_file(**changes):
    fields = {"path": "film.mkv", "fps": 0.0, "pace": "fast", "repeat": False, "consume": "lazy"}
    return VideoFile(**(fields | changes))


def video_stream(url, **changes):
    fields = {
        "url": url,
        "transport": "tcp",
        "fps": 0.0,
        "timeout_s": 3.0,
        "consume": "eager",
        "username": "",
        "password_secret": None,
    }
    return VideoStream(**(fields | changes))


def source(stage, prefix="/", stop=None, password=None):
    stop = stop or threading.Event()
    return VideoSource(stage, str(prefix), stop, password=password, backoff=quick_backoff())


def levels(frames):
    return [round(preprocess.decode(frame.content).mean() / 12) for frame in frames]


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4", "ffv1"])
def test_the_frames_of_a_file_come_in_order_and_the_file_ends(tmp_path, codec):
    film(tmp_path / "film.mkv", codec=codec)
    heard = Heard()
    frames = list(source(video_file(), tmp_path).frames(heard.notices()))
    assert levels(frames) == list(range(10))
    assert (heard.failures, heard.losses) == ([], [])
    assert preprocess.decode(frames[0].content).shape == (48, 64, 3)


def test_fewer_frames_are_chosen_by_the_files_own_time(tmp_path):
    film(tmp_path / "film.mkv", frames=12, rate=12)
    stage = video_file(fps=4.0)
    assert levels(source(stage, tmp_path).frames(Heard().notices())) == [0, 3, 6, 9]


def test_real_pace_takes_as_long_as_the_film(tmp_path):
    film(tmp_path / "film.mkv", frames=6, rate=10)
    started = time.monotonic()
    frames = list(source(video_file(pace="real"), tmp_path).frames(Heard().notices()))
    assert len(frames) == 6
    assert 0.45 <= time.monotonic() - started < 3.0


def test_a_repeated_file_begins_again_without_a_loss(tmp_path):
    film(tmp_path / "film.mkv", frames=3)
    stop = threading.Event()
    with listening(source(video_file(repeat=True), tmp_path, stop), stop) as at_work:
        frames = at_work.wait_for(7)[:7]
        assert levels(frames) == [0, 1, 2, 0, 1, 2, 0]
        assert at_work.heard.losses == []


@pytest.mark.parametrize("content", [b"", b"no film at all", bytes(4096)])
def test_what_is_no_film_is_a_loss_and_tried_again(tmp_path, content):
    (tmp_path / "film.mkv").write_bytes(content)
    stop = threading.Event()
    with listening(source(video_file(repeat=True), tmp_path, stop), stop) as at_work:
        at_work.until(lambda: len(at_work.heard.losses) >= 2, "losses")
        assert set(at_work.heard.reasons()) == {"unreachable"}


def test_a_scratched_film_gives_what_it_can(tmp_path):
    whole = film(tmp_path / "film.mkv", frames=20).read_bytes()
    scratched = bytearray(whole)
    for at in range(len(whole) // 3, len(whole) // 3 + 600):
        scratched[at] ^= 0xA5
    (tmp_path / "film.mkv").write_bytes(scratched)
    heard = Heard()
    frames = list(source(video_file(), tmp_path).frames(heard.notices()))
    assert 2 <= len(frames) <= 20


def test_a_playlist_cannot_make_the_device_open_its_own_files(tmp_path):
    """The server names a file of the device as a segment; FFmpeg must not open it."""
    film(tmp_path / "secret.ts", codec="mpeg2video", rate=25)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{tmp_path}/secret.ts\n"
    (tmp_path / "list.m3u8").write_text(playlist + "#EXT-X-ENDLIST\n")
    with serving(tmp_path) as url:
        stop = threading.Event()
        with listening(source(video_stream(f"{url}/list.m3u8"), stop=stop), stop) as at_work:
            at_work.until(lambda: at_work.heard.losses, "a refusal")
            assert at_work.frames == []


@contextlib.contextmanager
def serving(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_film_over_http_is_a_stream_that_ends_and_is_opened_again(tmp_path):
    film(tmp_path / "film.mkv", frames=4)
    stop = threading.Event()
    with serving(tmp_path) as url:
        stage = video_stream(f"{url}/film.mkv")
        with listening(source(stage, stop=stop), stop) as at_work:
            assert levels(at_work.wait_for(8)[:8]) == [0, 1, 2, 3] * 2
            assert "ended" in at_work.heard.reasons()


@contextlib.contextmanager
def rtsp(port, *credentials):
    missing = subprocess.run(
        (SYSTEM_PYTHON, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"),
        capture_output=True,
        check=False,
    )
    if missing.returncode:
        pytest.skip("GStreamer's RTSP server is not installed (gir1.2-gst-rtsp-server-1.0)")
    process = subprocess.Popen(
        (SYSTEM_PYTHON, str(SERVER), str(port), "/main", *credentials),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_pictures_of_a_real_rtsp_server(transport):
    port, stop = free_port(), threading.Event()
    with rtsp(port):
        stage = video_stream(f"rtsp://127.0.0.1:{port}/main", transport=transport)
        with listening(source(stage, stop=stop), stop, stops_in_s=5.0) as at_work:
            frames = at_work.wait_for(5)
            picture = preprocess.decode(frames[-1].content)
            assert picture.shape == (48, 64, 3)
            # The left bar of the SMPTE pattern is 75 % white, the one before the last is red.
            assert np.abs(picture[10, 3].astype(int) - 191).max() < 20
            assert picture[10, 50, 0] > 150
            assert picture[10, 50, 1] < 60


def test_a_camera_that_is_switched_off_and_on_comes_back_and_is_counted():
    port, stop = free_port(), threading.Event()
    stage = video_stream(f"rtsp://127.0.0.1:{port}/main")
    with listening(source(stage, stop=stop), stop, stops_in_s=5.0) as at_work:
        at_work.until(lambda: "unreachable" in at_work.heard.reasons(), "a loss")
        with rtsp(port):
            at_work.wait_for(3)
        seen = len(at_work.heard.losses)
        at_work.until(lambda: len(at_work.heard.losses) > seen, "a second loss")
        before = len(at_work.frames)
        with rtsp(port):
            at_work.until(lambda: at_work.heard.findings == 2, "the camera again")
            at_work.wait_for(before + 3)


def test_a_password_opens_the_stream_and_is_never_shown():
    port, stop = free_port(), threading.Event()
    stage = video_stream(f"rtsp://127.0.0.1:{port}/main", username="cam", password_secret="p")
    with rtsp(port, "cam", "pa:ss@word"):
        with listening(
            source(stage, stop=stop, password="pa:ss@word"), stop, stops_in_s=5.0
        ) as at_work:
            at_work.wait_for(2)
        wrong = source(stage, password="wr@ng-secret")
        with pytest.raises(SourceLost) as caught:
            wrong._open()
        assert "wr@ng-secret" not in str(caught.value)
        assert "wr%40ng-secret" not in str(caught.value)
        assert "401" in str(caught.value)


def test_a_silent_stream_is_lost_after_its_timeout():
    """A server that takes the connection and says nothing."""
    import socket

    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        stage = video_stream(f"rtsp://127.0.0.1:{server.getsockname()[1]}/x", timeout_s=0.5)
        with listening(source(stage, stop=stop), stop) as at_work:
            at_work.until(lambda: at_work.heard.losses, "a loss", 5.0)


@pytest.mark.parametrize(
    ("url", "username", "password", "address"),
    [
        ("rtsp://h/x", "", None, "rtsp://h/x"),
        ("rtsp://h:8554/x?y=1", "a@b", "p:w/d", "rtsp://a%40b:p%3Aw%2Fd@h:8554/x?y=1"),
        ("http://h/x", "u", None, "http://u@h/x"),
    ],
)
def test_credentials_stand_in_the_address_encoded(url, username, password, address):
    assert address_of(url, username, password) == address


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "rtsp://u:p@h/x", "concat:a|b", "/dev/sda", "rtsp://"]
)
def test_other_addresses_are_refused(url):
    with pytest.raises(PipelineInvalid):
        address_of(url, "", None)


def test_a_closure_without_pyav_is_refused_with_its_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(PipelineInvalid, match=r"capture video_file needs the package av"):
        source(video_file())


def v4l2(path, **changes):
    fields = {"path": str(path), "width": 640, "height": 480, "format": "mjpeg", "fps": 0.0}
    return V4l2(**(fields | {"timeout_s": 3.0} | changes))


def test_a_camera_that_is_not_there_or_no_camera_is_a_loss_and_tried_again(tmp_path):
    (tmp_path / "video9").write_bytes(b"no camera")
    for path, words in ((tmp_path / "video8", "No such file"), (tmp_path / "video9", "video9")):
        stop = threading.Event()
        with listening(source(v4l2(path), stop=stop), stop) as at_work:
            at_work.until(lambda heard=at_work.heard: len(heard.losses) >= 2, "losses")
            assert set(at_work.heard.reasons()) == {"unreachable"}
            assert words in at_work.heard.losses[0][1]


def test_ffmpeg_of_the_closure_knows_video4linux():
    assert any("v4l2" in name.split(",") for name in av.formats_available)


def test_a_camera_that_takes_another_size_is_an_error_and_not_another_picture():
    with pytest.raises(SourceLost, match="gives 320x240, not 640x480"):
        source(v4l2("/dev/video0"))._check_size(320, 240)


@pytest.mark.skipif(
    not Path("/dev/video0").exists(), reason="no camera: this kernel has no /dev/video0"
)
def test_pictures_of_a_real_camera():
    stop = threading.Event()
    stage = v4l2("/dev/video0", format="yuyv422")
    with listening(source(stage, stop=stop), stop, stops_in_s=5.0) as at_work:
        assert preprocess.decode(at_work.wait_for(1)[0].content).shape == (480, 640, 3)
