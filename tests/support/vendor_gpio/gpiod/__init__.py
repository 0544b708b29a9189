"""What libgpiod's binding (version 2) does, on a file instead of a kernel: one holder a line, levels written down.

`FAKE_GPIO` is a folder: `<line>` holds the level, `<line>.lock` is locked by the holder, `log` has all of it.
Source: https://libgpiod.readthedocs.io/en/latest/python_api.html; a line that is held gives EBUSY.
"""

import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from gpiod import line as line_module


@dataclass
class LineSettings:
    direction: line_module.Direction = line_module.Direction.AS_IS
    active_low: bool = False
    output_value: line_module.Value = line_module.Value.INACTIVE


class LineRequest:
    def __init__(self, folder, number, settings):
        self._folder, self._settings = folder, settings
        self._lock = (folder / f"{number}.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from exc
        self.set_value(number, settings.output_value)
        self._number = number

    def set_value(self, line, value):
        level = (value == line_module.Value.ACTIVE) != self._settings.active_low
        (self._folder / str(line)).write_text(str(int(level)))
        with (self._folder / "log").open("a") as log:
            log.write(f"{line} {int(level)} {os.getpid()}\n")

    def release(self):
        (self._folder / str(self._number)).write_text("floating")
        self._lock.close()


def request_lines(path, config, consumer=None):
    if path != "/dev/gpiochip0":
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    ((number, settings),) = config.items()
    assert settings.direction == line_module.Direction.OUTPUT
    return LineRequest(Path(os.environ["FAKE_GPIO"]), number, settings)
