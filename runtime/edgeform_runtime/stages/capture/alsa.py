"""Sound from an ALSA device, recorded by `arecord`: no binding to link, no driver that hangs our thread.

Source of the options: arecord(1) of alsa-utils 1.2.8.
"""

import os
import select
import subprocess
import threading
from typing import Iterator, Optional

import numpy as np

from edgeform_runtime.frames import Frame
from edgeform_runtime.pipeline.capture import Audio
from edgeform_runtime.stages.capture.following import (
    Backoff,
    FrameMaker,
    SourceLost,
    following,
)
from edgeform_runtime.stages.content import wav_of
from edgeform_runtime.stages.contract import Notices

PROGRAM = "arecord"
SILENT_S = 5.0
CHUNK_BYTES = 64 * 1024


class AlsaSource:
    """WAV files of `length_s`, one every `hop_s`."""

    def __init__(
        self,
        stage: Audio,
        stop: threading.Event,
        backoff: Optional[Backoff] = None,
        program: str = PROGRAM,
    ) -> None:
        self._stage, self._stop, self._program = stage, stop, program
        self._backoff = backoff or Backoff()

    def frames(self, notices: Notices) -> Iterator[Frame]:
        """Pieces until the stop event."""
        maker = FrameMaker("audio:" + self._stage.device)
        for content in following(
            self._contents, stop=self._stop, notices=notices, backoff=self._backoff
        ):
            yield maker.frame(content)

    def _contents(self) -> Iterator[Optional[bytes]]:
        stage = self._stage
        sample_bytes = 2 * stage.channels
        length = round(stage.length_s * stage.rate_hz) * sample_bytes
        hop = round(stage.hop_s * stage.rate_hz) * sample_bytes or length
        kind = ("-q", "-t", "raw", "-f", "S16_LE", "-D", stage.device)
        command = (self._program, *kind, "-r", str(stage.rate_hz), "-c", str(stage.channels))
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as exc:
            raise SourceLost(
                "no_program", f"{self._program} cannot be run: {exc.strerror}"
            ) from exc
        held = bytearray()
        skip = 0
        try:
            for chunk in self._chunks(process):
                held += chunk
                if skip:
                    dropped = min(skip, len(held))
                    del held[:dropped]
                    skip -= dropped
                yield None
                while not skip and len(held) >= length:
                    samples = np.frombuffer(bytes(held[:length]), "<i2")
                    yield wav_of(samples.reshape(-1, stage.channels), stage.rate_hz)
                    dropped = min(hop, len(held))
                    del held[:dropped]
                    skip = hop - dropped
        finally:
            _end(process)

    def _chunks(self, process: "subprocess.Popen[bytes]") -> Iterator[bytes]:
        assert process.stdout is not None  # noqa: S101 - asked for with PIPE
        handle = process.stdout.fileno()
        silent_s = 0.0
        while True:
            ready, _, _ = select.select([handle], [], [], 0.5)
            if not ready:
                silent_s += 0.5
                if silent_s >= SILENT_S:
                    raise SourceLost(
                        "timeout", f"{self._stage.device} gave nothing for {SILENT_S:g} s"
                    )
                yield b""
                continue
            silent_s = 0.0
            chunk = os.read(handle, CHUNK_BYTES)
            if not chunk:
                said = _said(process)
                raise SourceLost("ended", f"{self._stage.device}: {said}")
            yield chunk


def _said(process: "subprocess.Popen[bytes]") -> str:
    """The last line of what it wrote to standard error."""
    assert process.stderr is not None  # noqa: S101 - asked for with PIPE
    text = process.stderr.read(8192).decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "arecord ended"


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()  # a recording that nobody wants has nothing to finish
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
