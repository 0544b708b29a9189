import shutil
import threading

import numpy as np
import pytest
from support.sources import listening, quick_backoff

from edgeform_runtime.pipeline.capture import Audio
from edgeform_runtime.stages.capture.alsa import AlsaSource
from edgeform_runtime.stages.content import audio_of

needs_arecord = pytest.mark.skipif(
    shutil.which("arecord") is None, reason="arecord is not installed (Debian package: alsa-utils)"
)


def audio(**changes):
    fields = {"device": "tape", "rate_hz": 8000, "channels": 1, "length_s": 0.1, "hop_s": 0.0}
    return Audio(**(fields | changes))


@pytest.fixture
def tape(tmp_path, monkeypatch):
    """An ALSA device that plays samples from a file in place of a microphone: sample n is n mod 30,000."""
    samples = np.arange(80_000) % 30_000
    (tmp_path / "tape.raw").write_bytes(samples.astype("<i2").tobytes())
    (tmp_path / "asound.conf").write_text(
        f"""
        pcm.tape {{
          type file
          slave.pcm {{ type null }}
          file "/dev/null"
          infile "{tmp_path}/tape.raw"
          format "raw"
        }}
        """
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
    return samples


@needs_arecord
def test_pieces_follow_each_other_without_a_gap(tape):
    stop = threading.Event()
    with listening(AlsaSource(audio(), stop, quick_backoff()), stop) as at_work:
        frames = at_work.wait_for(5)[:5]
    heard = np.concatenate([audio_of(frame.content)[0] for frame in frames]) * 32768
    assert len(heard) == 5 * 800
    assert (heard.round().astype(int) == tape[:4000]).all()
    assert audio_of(frames[0].content)[1] == 8000


@needs_arecord
def test_pieces_overlap_or_leave_out_as_hop_says(tape):
    for hop_s, second in ((0.05, 400), (0.2, 1600)):
        stop = threading.Event()
        source = AlsaSource(audio(hop_s=hop_s), stop, quick_backoff())
        with listening(source, stop) as at_work:
            samples, _ = audio_of(at_work.wait_for(2)[1].content)
        assert round(samples[0] * 32768) == second


@needs_arecord
def test_a_device_that_is_not_there_is_a_loss_with_alsas_own_words():
    stop = threading.Event()
    with listening(AlsaSource(audio(device="nobody"), stop, quick_backoff()), stop) as at_work:
        at_work.until(lambda: len(at_work.heard.losses) >= 2, "losses")
        assert "audio open error" in at_work.heard.losses[0][1]


def test_a_missing_program_is_a_loss_and_not_a_crash():
    stop = threading.Event()
    source = AlsaSource(audio(), stop, quick_backoff(), program="arecord-is-not-here")
    with listening(source, stop) as at_work:
        at_work.until(lambda: at_work.heard.reasons()[:1] == ["no_program"], "a loss")
