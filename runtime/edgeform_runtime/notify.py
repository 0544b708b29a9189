"""What systemd is told: READY, WATCHDOG, STATUS, STOPPING; nothing where there is no systemd."""

import os
import socket
from typing import Mapping, Optional


class Notifier:
    """Talks to the socket that NOTIFY_SOCKET names, if it is set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec = environ.get("WATCHDOG_USEC", "")
        owner = environ.get("WATCHDOG_PID", "") or str(os.getpid())
        is_ours = usec.isdigit() and int(usec) > 0 and owner == str(os.getpid())
        self.watchdog_s: Optional[float] = int(usec) / 1e6 if is_ours else None
        """How long systemd waits between two signs of life; None when it does not."""

    def tell(self, *lines: str) -> None:
        """Send assignments such as READY=1; a manager that does not listen is no failure of ours."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(1.0)
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return
