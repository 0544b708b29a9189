"""A line between two network namespaces, in user space: for kernels without netem.

Run as a program: two TAP interfaces, one here and one in the namespace named by its path; frames read from
one are written to the other, late, seldom or never. Each line on stdin is a JSON object with the wire's new
properties; each is answered by a line.

    python wire.py LOCAL_TAP NAMESPACE_PATH REMOTE_TAP SEED
"""

import ctypes
import fcntl
import json
import os
import random
import select
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
CLONE_NEWNET = 0x40000000
FRAME_BYTES = 65536
QUEUE_BYTES = 256 * 1024  # what a slow line holds before it drops, as a small router does


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """How the line behaves, in each direction.

    Attributes:
        delay_ms: half of what it adds to a round trip.
        jitter_ms: up to so much more or less, without changing the order.
        rate_kbit: per second; 0: as fast as the machine.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss_percent: float = 0.0
    rate_kbit: float = 0.0
    is_cut: bool = False


@dataclass(slots=True)
class Direction:
    """Frames on their way to one side."""

    target: int
    chance: random.Random
    on_the_way: deque = field(default_factory=deque)
    waiting_bytes: int = 0
    free_at: float = 0.0
    last_due: float = 0.0

    def accept(self, frame: bytes, now: float, properties: Properties) -> None:
        """Put a frame on the line, or lose it."""
        if properties.is_cut or self.chance.random() * 100 < properties.loss_percent:
            return
        due = now
        if properties.rate_kbit:
            if self.waiting_bytes > QUEUE_BYTES:
                return
            self.free_at = max(self.free_at, now) + len(frame) * 8 / (properties.rate_kbit * 1000)
            due = self.free_at
        late_ms = properties.delay_ms + self.chance.uniform(-1, 1) * properties.jitter_ms
        self.last_due = max(self.last_due, due + max(0.0, late_ms) / 1000)
        self.on_the_way.append((self.last_due, frame))
        self.waiting_bytes += len(frame)

    def deliver(self, now: float) -> None:
        while self.on_the_way and self.on_the_way[0][0] <= now:
            _, frame = self.on_the_way.popleft()
            self.waiting_bytes -= len(frame)
            try:
                os.write(self.target, frame)
            except OSError:  # the interface is down, or its queue is full: a frame is lost
                continue

    def next_due(self) -> float:
        return self.on_the_way[0][0] if self.on_the_way else float("inf")


def open_tap(name: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


def open_tap_in(namespace: str, name: str) -> int:
    """The TAP stays usable here: a descriptor does not care where its opener goes."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as here, open(namespace) as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
        try:
            return open_tap(name)
        finally:
            libc.setns(here.fileno(), CLONE_NEWNET)


def main() -> None:
    local_name, namespace, remote_name, seed = sys.argv[1:]
    local, remote = open_tap(local_name), open_tap_in(namespace, remote_name)
    chance = random.Random(int(seed))
    ways = {
        local: Direction(target=remote, chance=chance),
        remote: Direction(target=local, chance=chance),
    }
    properties = Properties()
    print("ready", flush=True)
    while True:
        first = min(way.next_due() for way in ways.values())
        now = time.monotonic()
        wait_s = None if first == float("inf") else max(0.0, first - now)
        readable, _, _ = select.select([local, remote, 0], [], [], wait_s)
        if 0 in readable:
            line = sys.stdin.readline()
            if not line:
                return
            properties = Properties(**json.loads(line))
            print("set", flush=True)
        for tap in (local, remote):
            if tap in readable:
                take(tap, ways[tap], properties)
        now = time.monotonic()
        for way in ways.values():
            way.deliver(now)


def take(tap: int, way: Direction, properties: Properties) -> None:
    for _ in range(64):
        try:
            frame = os.read(tap, FRAME_BYTES)
        except (BlockingIOError, OSError):
            return
        way.accept(frame, time.monotonic(), properties)


if __name__ == "__main__":
    main()
