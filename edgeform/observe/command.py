"""The commands that look at a device and that put the first tool on it, each in one round trip.

Looking works on a device with the tool and on one without, by one command line, and installs nothing.
Command lines are constant but for the prefix and the digest: questions travel on standard input.
"""

import json
from dataclasses import dataclass
from importlib import resources

from edgeform.domain.drivers import DriverTuple

# `read` takes one byte at a time from a pipe, so the probe behind the first line is left for python3.
_LOOK = """\
IFS= read -r questions
tool="$1/bin/edgeform-device"
if [ -x "$tool" ]; then
  printf '%s\\n' "$questions" | "$tool" state --verify "$2"
  exit $?
fi
if command -v python3 >/dev/null 2>&1; then
  exec python3 -I -S -B - --prefix "$1" --questions "$questions"
fi
printf '%s\\n' '{"error": {"code": "python", "detail": "There is no python3 on its PATH.", \
"hint": "Install Python 3.8 or newer on the device, or run edgeform bootstrap.", \
"summary": "Python is missing."}, "ok": false}'
exit 3
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What a plan wants to know beyond the facts that every device gives."""

    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    sysctl: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def encoded(self) -> bytes:
        """One line of JSON."""
        asked = {name: list(getattr(self, name)) for name in self.__slots__ if getattr(self, name)}
        return json.dumps(asked, sort_keys=True).encode() + b"\n"


def questions_about(drivers: DriverTuple) -> Questions:
    """What must be known of a device to compare it with a driver tuple."""
    return Questions(**dict(drivers.asked))


def observe_command(
    prefix: str, questions: Questions, *, verify: str = "none"
) -> tuple[tuple[str, ...], bytes]:
    """The command line and standard input that answer everything about a device.

    Args:
        verify: how thoroughly the device compares its files with its manifest: none, sample or full.
    """
    argv = ("sh", "-c", _LOOK, "edgeform-observe", prefix, verify)
    return argv, questions.encoded() + _source("probe.py")


def state_command(
    prefix: str, questions: Questions, *, verify: str = "none"
) -> tuple[tuple[str, ...], bytes]:
    """The same for a device that is known to have the tool; all that the update lane may run."""
    argv = (f"{prefix}/bin/edgeform-device", "state", "--verify", verify)
    return argv, questions.encoded()


def install_command(prefix: str, digest: str) -> tuple[str, ...]:
    """The command line that installs the device tool from the .pyz on its standard input.

    It proves the digest, writes by rename, and answers `{"ok": true, "tool": {"digest"}}`.
    """
    return ("python3", "-I", "-S", "-B", "-c", _source("install.py").decode(), prefix, digest)


def _source(name: str) -> bytes:
    return resources.files("edgeform_device").joinpath(name).read_bytes()
