"""What the device tool refuses or fails with, and the exit code and JSON that say so.

DeviceError                       1
├── Usage                        64
├── Refused                       3   hardware does not fit, space, window, power
├── Stale                         6   base generation or metadata is not what it should be
├── Locked                        7   another transaction holds the lease
├── NotTrusted                    8   signature, role, floor, foreign deployment
├── Incomplete                    9   blobs are missing
├── Corrupt                      12   bytes do not match their digest
├── Held                          5   the digest failed here before and is in quarantine
├── RolledBack                    5   tried, and healthy on the old generation again
└── NeedsHands                   20   healthy neither on the old nor on the new
"""

from typing import Any, Dict


class DeviceError(Exception):
    """A failure with its code, its sentence and its remedy; printed as JSON, never as a trace."""

    code = "internal"
    exit_code = 1

    def __init__(self, summary: str, detail: str = "", hint: str = "") -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail
        self.hint = hint

    def to_json(self) -> Dict[str, Any]:
        return {
            "code": self.code,
            "summary": self.summary,
            "detail": self.detail,
            "hint": self.hint,
        }


class Usage(DeviceError):
    code = "usage"
    exit_code = 64


class Refused(DeviceError):
    code = "refused"
    exit_code = 3


class Stale(DeviceError):
    code = "stale"
    exit_code = 6


class Locked(DeviceError):
    code = "locked"
    exit_code = 7


class NotTrusted(DeviceError):
    code = "not_trusted"
    exit_code = 8


class Incomplete(DeviceError):
    code = "incomplete"
    exit_code = 9


class Corrupt(DeviceError):
    code = "corrupt"
    exit_code = 12


class Held(DeviceError):
    code = "held"
    exit_code = 5


class RolledBack(DeviceError):
    code = "rolled_back"
    exit_code = 5


class NeedsHands(DeviceError):
    code = "needs_hands"
    exit_code = 20
