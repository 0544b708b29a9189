"""The worker's loop: requests come in on stdin, each is a greenlet of its own, answers go out on stdout.

Ends when stdin does, because then the controller is gone. Whatever else in this process prints, prints
to stderr: stdout belongs to the frames.
"""

import contextlib
import logging
import os
import sys
import traceback

import gevent
from gevent.fileobject import FileObjectPosix
from gevent.lock import BoundedSemaphore

from edgeform.transport.base import DeviceUnreachable
from edgeform.transport.conversation import SourceChanged
from edgeform.transport.messages import (
    BEAT_S,
    MAX_BODY_BYTES,
    Alive,
    Answer,
    Failed,
    Provisioned,
    ProvisionRequest,
    Request,
    RunRequest,
    Unreached,
    decode_request,
    encode_answer,
)
from edgeform.transport.worker.fleet import Fleet
from edgeform_wire import frames


class Server:
    """Answers requests until there are no more."""

    def __init__(self, incoming: FileObjectPosix, outgoing: FileObjectPosix) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._fleet = Fleet()
        self._speaking = BoundedSemaphore(1)
        self._busy: set[int] = set()

    def serve(self) -> None:
        """Returns when the controller has closed our stdin."""
        gevent.spawn(self._beat)
        while (frame := frames.read(self._incoming, MAX_BODY_BYTES)) is not None:
            header, body = frame
            gevent.spawn(self._answer, header["id"], decode_request(header, body))
        self._fleet.close()

    def _answer(self, number: int, request: Request) -> None:
        self._busy.add(number)
        try:
            match request:
                case RunRequest(target=target, command=command):
                    answer: Answer = self._fleet.connector(target).run(command)
                case ProvisionRequest(target=target, drivers=drivers):
                    # pyinfra's operations and facts take half a second to import; runs do not need them.
                    from edgeform.transport.worker.provision import provision  # noqa: PLC0415

                    provision(self._fleet, target, drivers, lambda step: self._say(number, step))
                    answer = Provisioned()
        except DeviceUnreachable as exc:
            answer = Unreached(reason=exc.reason, detail=exc.detail, hint=exc.hint)
        except SourceChanged as exc:
            answer = Failed(detail=f"{exc}.")
        except Exception:  # noqa: BLE001 - one device's surprise must not end the others' turn
            answer = Failed(detail="This is a bug in edgeform.\n" + traceback.format_exc())
        finally:
            self._busy.discard(number)
        self._say(number, answer)

    def _beat(self) -> None:
        while True:
            gevent.sleep(BEAT_S)
            if self._busy:
                self._say(0, Alive())

    def _say(self, number: int, answer: Answer) -> None:
        header, body = encode_answer(answer)
        with self._speaking:
            frames.write(self._outgoing, {"id": number, **header}, (body,), len(body))


def main() -> None:
    """Serve on stdin and stdout."""
    outgoing = FileObjectPosix(os.dup(1), "wb")
    os.dup2(2, 1)
    # Libraries' logs are theirs: what matters of them is in the errors that they raise.
    logging.basicConfig(handlers=[logging.NullHandler()])
    logging.lastResort = None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        Server(FileObjectPosix(os.dup(0), "rb"), outgoing).serve()
    sys.stderr.flush()
    # Greenlets may still wait for devices that will never answer; nobody waits for them any more.
    os._exit(0)
