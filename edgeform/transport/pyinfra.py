"""The transport over SSH: pyinfra in worker processes, asked by plain threads.

Commands are spread over a few workers, each with many devices. The provision lane has workers of its
own, one per driver tuple: pyinfra names operations by their position, so a State must not mix hardware
classes, and a process must not hold two States.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import assert_never

from edgeform.domain.drivers import DriverTuple
from edgeform.transport.base import (
    DeviceUnreachable,
    Finished,
    ProvisionStep,
    Run,
    Target,
)
from edgeform.transport.messages import (
    Alive,
    Answer,
    Failed,
    Provisioned,
    ProvisionRequest,
    RunRequest,
    Unreached,
    WorkerFailed,
)
from edgeform.transport.workers import SILENT_S, Worker, WorkerDied, unreachable

SPARE_S = 120.0
"""Beyond its own time limits, how long a call may wait in a worker that is alive but has much to do."""

DEVICES_PER_WORKER = 16
"""As many devices as one process takes before the next one starts: a start costs 0.75 s of a core, a
connection 0.03 s (two cores, 2026-11)."""

PROVISION_STEP_S = 7200.0
"""The longest that one step of the provision lane may take."""


class PyinfraTransport:
    """SSH to many devices at once.

    Args:
        workers: at most so many processes for commands, and so many for provisioning; None: one per core.
    """

    def __init__(self, *, workers: int | None = None, silent_s: float = SILENT_S) -> None:
        self._most = max(1, workers if workers is not None else os.cpu_count() or 1)
        self._silent_s = silent_s
        self._lock = threading.Lock()
        self._workers: list[Worker] = []
        self._seats: dict[str, int] = {}
        self._provisioners: dict[DriverTuple, tuple[Worker, int]] = {}
        self._provision_places = threading.BoundedSemaphore(self._most)
        self._is_closed = False

    def warm_up(self) -> None:
        """Start the first worker now, so that it is ready when its first device is known."""
        with self._lock:
            self._refuse_when_closed()
            if not self._workers:
                self._workers.append(Worker(silent_s=self._silent_s))

    def run(self, target: Target, command: Run) -> Finished:
        connect_s = target.connect.connect_timeout_s
        at_most_s = command.timeout_s + 3 * connect_s + SPARE_S
        worker = self._worker_for(target.name)
        request = RunRequest(target=target, command=command)
        try:
            for answer in worker.ask(request, at_most_s=at_most_s):
                if isinstance(answer, Finished):
                    return answer
                _raise_unless_progress(target, answer)
        except WorkerDied as died:
            raise unreachable(target.name, died) from died
        raise AssertionError("a worker's answers end with an answer or an exception")

    def provision(
        self, target: Target, drivers: DriverTuple, on_step: Callable[[ProvisionStep], None]
    ) -> tuple[ProvisionStep, ...]:
        steps: list[ProvisionStep] = []
        request = ProvisionRequest(target=target, drivers=drivers)
        with self._provisioner(drivers) as worker:
            try:
                for answer in worker.ask(request, at_most_s=PROVISION_STEP_S):
                    match answer:
                        case Provisioned():
                            break
                        case ProvisionStep():
                            steps.append(answer)
                            on_step(answer)
                        case _:
                            _raise_unless_progress(target, answer)
            except WorkerDied as died:
                raise unreachable(target.name, died) from died
        return tuple(steps)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            workers = [*self._workers, *(worker for worker, _ in self._provisioners.values())]
            self._workers.clear()
            self._seats.clear()
            self._provisioners.clear()
        enders = [threading.Thread(target=worker.close) for worker in workers]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()

    def _worker_for(self, device: str) -> Worker:
        """Always the same process for a device, so that its connection is reused."""
        buried: Worker | None = None
        with self._lock:
            self._refuse_when_closed()
            number = len(self._seats) // DEVICES_PER_WORKER
            if number >= self._most:
                number = len(self._seats)
            seat = self._seats.setdefault(device, number % self._most)
            while len(self._workers) <= seat:
                self._workers.append(Worker(silent_s=self._silent_s))
            if self._workers[seat].is_dead:
                buried = self._workers[seat]
                self._workers[seat] = Worker(silent_s=self._silent_s)
            worker = self._workers[seat]
        if buried is not None:
            buried.close()
        return worker

    @contextmanager
    def _provisioner(self, drivers: DriverTuple) -> Iterator[Worker]:
        """The process for this driver tuple; it ends with the last device that needs it."""
        with self._lock:
            self._refuse_when_closed()
            found = self._provisioners.get(drivers)
        # A tuple that already has a process needs no further place.
        holds_place = found is None
        if holds_place:
            self._provision_places.acquire()
        try:
            worker = self._join_provisioner(drivers)
            try:
                yield worker
            finally:
                self._leave_provisioner(drivers, worker)
        finally:
            if holds_place:
                self._provision_places.release()

    def _join_provisioner(self, drivers: DriverTuple) -> Worker:
        with self._lock:
            self._refuse_when_closed()
            worker, devices = self._provisioners.get(drivers, (None, 0))
            if worker is None or worker.is_dead:
                worker, devices = Worker(silent_s=self._silent_s), 0
            self._provisioners[drivers] = (worker, devices + 1)
            return worker

    def _leave_provisioner(self, drivers: DriverTuple, worker: Worker) -> None:
        with self._lock:
            held, devices = self._provisioners.get(drivers, (None, 0))
            if held is not worker:
                return
            if devices > 1:
                self._provisioners[drivers] = (worker, devices - 1)
                return
            del self._provisioners[drivers]
        worker.close()

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise WorkerFailed("The transport has been closed.")


def _raise_unless_progress(target: Target, answer: Answer) -> None:
    match answer:
        case Unreached(reason=reason, detail=detail, hint=hint):
            raise DeviceUnreachable(target.name, reason, detail, hint=hint)
        case Failed(detail=detail):
            raise WorkerFailed(detail, address=target.name)
        case Alive() | ProvisionStep() | Provisioned() | Finished():
            return
        case _:
            assert_never(answer)
