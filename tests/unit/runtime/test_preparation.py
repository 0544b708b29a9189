import io
import math
import wave

import numpy as np
import pytest

from edgeform_runtime.errors import FrameError, PipelineInvalid
from edgeform_runtime.pipeline.preprocess import (
    AudioFrames,
    Crop,
    LogMel,
    Tokenise,
    Window,
    ZScore,
)
from edgeform_runtime.stages import audio, content, preprocess, series
from edgeform_runtime.stages.tokens import Tokeniser, spans_of


def log_mel(**changes):
    fields = {
        "rate_hz": 16000,
        "length": 400,
        "hop": 160,
        "fft": 512,
        "mels": 40,
        "low_hz": 20.0,
        "high_hz": 0.0,
        "mel": "htk",
        "log": "natural",
        "floor": 1e-10,
    }
    return LogMel(**(fields | changes))


def tone(hz, seconds=0.5, rate=16000):
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize(
    ("hz", "scale", "mel"),
    [
        (0.0, "htk", 0.0),
        (700.0, "htk", 2595 * math.log10(2)),
        (1000.0, "htk", 999.9855),
        (8000.0, "htk", 2840.0230),
        (0.0, "slaney", 0.0),
        (200.0, "slaney", 3.0),
        (1000.0, "slaney", 15.0),
        (6400.0, "slaney", 42.0),
    ],
)
def test_the_mel_scales_are_the_published_ones_and_turn_back(hz, scale, mel):
    assert audio.hz_to_mel(np.array([hz]), scale)[0] == pytest.approx(mel, abs=1e-3)
    assert audio.mel_to_hz(np.array([mel]), scale)[0] == pytest.approx(hz, abs=1e-2)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_filters_are_triangles_whose_feet_are_the_neighbours_tops(scale):
    step = log_mel(mel=scale, mels=10, fft=4096, length=4096, low_hz=100.0, high_hz=4000.0)
    filters = audio.mel_filters(step)
    assert filters.shape == (2049, 10)
    edges = audio.mel_to_hz(
        np.linspace(*audio.hz_to_mel(np.array([100.0, 4000.0]), scale), 12), scale
    )
    tops = filters.argmax(axis=0) * 16000 / 4096
    assert np.abs(tops - edges[1:-1]).max() <= 16000 / 4096
    between = (np.arange(2049) * 16000 / 4096 > edges[1]) & (
        np.arange(2049) * 16000 / 4096 < edges[-2]
    )
    assert np.allclose(filters[between].sum(axis=1), 1.0, atol=1e-9)


def test_log_mel_is_its_definition_computed_by_hand():
    step = log_mel(mels=6, length=60, hop=30, fft=64, floor=1e-6)
    samples = np.random.default_rng(0).normal(size=200).astype(np.float32)
    got = audio.log_mel(samples, 16000, step, audio.mel_filters(step))
    filters = audio.mel_filters(step)
    assert got.shape == (1 + (200 - 60) // 30, 6)
    for at in range(len(got)):
        piece = samples[at * 30 : at * 30 + 60].astype(float)
        windowed = [x * (0.5 - 0.5 * math.cos(2 * math.pi * n / 60)) for n, x in enumerate(piece)]
        powers = []
        for k in range(33):
            re = sum(x * math.cos(2 * math.pi * k * n / 64) for n, x in enumerate(windowed))
            im = sum(x * math.sin(2 * math.pi * k * n / 64) for n, x in enumerate(windowed))
            powers.append(re * re + im * im)
        for m in range(6):
            energy = max(sum(p * filters[k, m] for k, p in enumerate(powers)), 1e-6)
            assert got[at, m] == pytest.approx(math.log(energy), abs=1e-4)


def test_a_tone_is_loudest_in_its_own_band_and_silence_is_the_floor():
    step = log_mel(log="db")
    filters = audio.mel_filters(step)
    for hz in (300.0, 1000.0, 4000.0):
        features = audio.log_mel(tone(hz), 16000, step, filters)
        band = int(features.mean(axis=0).argmax())
        near = abs(filters[:, band].argmax() * 16000 / 512 - hz)
        assert near <= max(60.0, hz * 0.08)
    silent = audio.log_mel(np.zeros(1600, np.float32), 16000, step, filters)
    assert np.allclose(silent, -100.0)


def test_another_rate_or_too_little_sound_is_refused():
    step = log_mel()
    with pytest.raises(FrameError, match="audio of 8000 Hz, and log_mel is for 16000 Hz"):
        audio.log_mel(tone(440), 8000, step, audio.mel_filters(step))
    with pytest.raises(FrameError, match="399 samples, and a frame has 400"):
        audio.log_mel(tone(440)[:399], 16000, step, audio.mel_filters(step))


def test_audio_frames_overlap_and_may_be_windowed():
    samples = np.arange(10, dtype=np.float32)
    got = audio.audio_frames(samples, AudioFrames(length=4, hop=3, window="none"))
    assert got.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    got = audio.audio_frames(np.ones(4, np.float32), AudioFrames(length=4, hop=1, window="hann"))
    assert np.allclose(got, [[0.0, 0.5, 1.0, 0.5]])


def a_wav(samples, rate=16000, channels=1, width=2):
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return stream.getvalue()


def test_wav_files_are_read_as_the_standard_library_writes_them_and_channels_are_averaged():
    stereo = np.array([[100, 300], [-200, -400]], "<i2")
    samples, rate = content.audio_of(a_wav(stereo, 44100, 2))
    assert rate == 44100
    assert np.allclose(samples * 32768, [200, -300])
    ours = content.wav_of(stereo, 44100)
    with wave.open(io.BytesIO(ours)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 44100, 2)
        assert file.readframes(2) == stereo.tobytes()


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"RIFF",
        a_wav(np.zeros(8, "<i2"))[:-3],
        a_wav(np.zeros(8, "u1"), width=1),
        a_wav(np.zeros(0, "<i2")),
        b"RIFF\x00\x00\x00\x00WAVEdata\x04\x00\x00\x00abcd",
        a_wav(np.zeros(8, "<i2"))[:20] + b"\xff" * 24,
    ],
)
def test_a_wav_file_that_is_none_is_a_frame_error(damaged):
    with pytest.raises(FrameError):
        content.audio_of(damaged)


def saved(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        saved(np.zeros((2, 2), ">f4")),
        saved(np.array([{}], object), allow_pickle=True),
        saved(np.zeros((2, 2, 2), "<f4")),
        saved(np.zeros((2, 2), "<f4"))[:-1],
        saved(np.zeros((2, 2), "<f4")) + b"x",
        saved(np.zeros((0, 2), "<f4")),
        saved(np.array([[np.nan]], "<f4")),
        saved(np.zeros((2, 2), "<f4")).replace(b"(2, 2)", b"(9**9)"),
        saved(np.zeros((2, 2), "<f4")).replace(b"(2, 2)", b"(-2,2)"),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 60000,
    ],
)
def test_an_npy_file_that_is_not_plain_numbers_is_a_frame_error(damaged):
    with pytest.raises(FrameError):
        content.series_of(damaged)


def test_any_damaged_byte_of_an_npy_or_wav_file_gives_numbers_or_a_frame_error():
    for whole, read in (
        (content.npy_of(np.ones((3, 2))), content.series_of),
        (content.wav_of(np.ones((9, 1), np.int16), 8000), content.audio_of),
    ):
        for place in range(len(whole)):
            for flip in (0x01, 0x80, 0xFF):
                damaged = bytearray(whole)
                damaged[place] ^= flip
                try:
                    read(bytes(damaged))
                except FrameError:
                    continue


def test_a_ppm_of_ours_is_read_without_pillow_and_a_short_one_is_refused():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    ours = content.ppm_of(pixels)
    assert (preprocess.decode(ours) == pixels).all()
    with pytest.raises(FrameError):
        preprocess.decode(ours[:-1])
    with pytest.raises(FrameError):
        preprocess.decode(b"P6\n99999 99999\n255\n" + bytes(100))


def test_z_score_by_the_window_or_by_given_numbers():
    rows = np.array([[1.0, 5.0], [3.0, 5.0]], np.float32)
    own = series.z_score(rows, ZScore(per="window", mean=(0.0,), std=(1.0,)))
    assert own.tolist() == [[-1.0, 0.0], [1.0, 0.0]]  # a column that stands still becomes 0
    given = series.z_score(rows, ZScore(per="given", mean=(1.0, 5.0), std=(2.0,)))
    assert given.tolist() == [[0.0, 0.0], [1.0, 0.0]]
    with pytest.raises(FrameError, match=r"z_score.mean has 3 values for 2 columns"):
        series.z_score(rows, ZScore(per="given", mean=(1.0, 2.0, 3.0), std=(1.0,)))


def test_window_takes_the_last_rows_and_layouts_add_what_models_want():
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    last = series.window(rows, Window(length=3))
    assert last.tolist() == [[2, 3], [4, 5], [6, 7]]
    with pytest.raises(FrameError, match="4 rows, and window takes 5"):
        series.window(rows, Window(length=5))
    assert series.arrange(last, "ntc").shape == (1, 3, 2)
    assert series.arrange(last, "nct").shape == (1, 2, 3)
    assert series.arrange(last, "n1tc").shape == (1, 1, 3, 2)


def test_crop_is_in_the_middle_or_where_it_is_said_and_never_outside():
    frame = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    middle = preprocess.crop(frame, Crop(width=4, height=2, left=None, top=None))
    assert (middle == frame[2:4, 2:6]).all()
    corner = preprocess.crop(frame, Crop(width=3, height=6, left=5, top=0))
    assert (corner == frame[:, 5:]).all()
    for left, top, width in ((6, 0, 3), (0, 5, 3), (None, None, 9)):
        with pytest.raises(FrameError, match="is not in a frame of 8x6"):
            preprocess.crop(frame, Crop(width=width, height=2, left=left, top=top))


def tokenise(**changes):
    fields = {
        "vocabulary": "words.txt",
        "length": 6,
        "unit": "word",
        "lower": True,
        "unknown": "[UNK]",
        "padding": "[PAD]",
    }
    return Tokenise(**(fields | changes))


def test_words_get_their_numbers_and_places(tmp_path):
    (tmp_path / "words.txt").write_text("[PAD]\n[UNK]\npump\n3\n.\nstraße\n")
    text = "Pump 3 in STRASSE."
    tensor, spans = Tokeniser(tokenise(), str(tmp_path)).tokens(text)
    assert tensor.tolist() == [[2, 3, 1, 1, 4, 0]]
    assert tensor.dtype == np.int64
    assert [text[a:b] for a, b in spans] == ["Pump", "3", "in", "STRASSE", ".", ""]


def test_a_text_that_is_too_long_is_cut_and_characters_may_be_tokens(tmp_path):
    (tmp_path / "words.txt").write_text("[PAD]\n[UNK]\na\n \n")
    made = Tokeniser(tokenise(unit="character", length=3, lower=False), str(tmp_path))
    assert made.tokens("a bcd")[0].tolist() == [[2, 3, 1]]
    assert spans_of("añ", "character") == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("vocabulary", "words"),
    [
        ("[PAD]\nx\n", "has no token '\\[UNK\\]'"),
        ("[PAD]\n[UNK]\nx\nx\n", "names a token twice"),
        (None, "cannot be read"),
    ],
)
def test_a_vocabulary_that_cannot_be_right_is_refused_when_it_is_loaded(
    tmp_path, vocabulary, words
):
    if vocabulary is not None:
        (tmp_path / "words.txt").write_text(vocabulary)
    with pytest.raises(PipelineInvalid, match=words):
        Tokeniser(tokenise(), str(tmp_path))
