"""One question and one answer of Modbus TCP, with the standard library alone; and writing one output with it.

Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b §3.1.3 (header) and MODBUS Application
Protocol V1.1b3 §6.5, §6.6 (functions 5 and 6), §7 (exceptions).
"""

import contextlib
import socket
import struct
from dataclasses import dataclass

COIL, REGISTER = "coil", "register"
TARGETS = (COIL, REGISTER)
MAX_ADDRESS = MAX_VALUE = 0xFFFF
_FUNCTIONS = {COIL: 5, REGISTER: 6}
_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    6: "server device busy",
    10: "gateway path unavailable",
    11: "gateway target failed to respond",
}
_HEADER = struct.Struct(">HHHB")
_WRITE = struct.Struct(">BHH")


class ModbusRefused(Exception):
    """The server answered with an exception."""

    def __init__(self, code: int) -> None:
        super().__init__(_EXCEPTIONS.get(code, f"exception {code}"))
        self.code = code


class Connection:
    """One connection. Each answer is checked for belonging to its question.

    Raises:
        OSError: it failed, or no answer came in time.
    """

    def __init__(self, host: str, port: int, unit: int, timeout_s: float) -> None:
        self._unit = unit
        self._transaction = 0
        self._sock = socket.create_connection((host, port), timeout_s)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self._sock.close()

    def ask(self, question: bytes) -> bytes:
        """The answer to a function code and its data: the same function code and the answer's data.

        Raises:
            OSError: the connection failed, or what came is no answer to it.
            ModbusRefused: the server says no.
        """
        self._transaction = (self._transaction + 1) & 0xFFFF
        head = _HEADER.pack(self._transaction, 0, len(question) + 1, self._unit)
        self._sock.sendall(head + question)
        transaction, protocol, length, unit = _HEADER.unpack(self._exactly(_HEADER.size))
        if (transaction, protocol, unit) != (self._transaction, 0, self._unit) or length < 3:
            raise ConnectionError("an answer that belongs to no question")
        answer = self._exactly(min(length - 1, 256))
        if answer[0] == question[0] | 0x80:
            raise ModbusRefused(answer[1])
        if answer[0] != question[0]:
            raise ConnectionError("an answer to another question")
        return answer

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self._sock.recv(size - len(found))
            if not part:
                raise ConnectionError("the server closed the connection")
            found += part
        return found


@dataclass(frozen=True)
class Output:
    """One coil (any value but 0 is on) or register of a server."""

    host: str
    port: int
    unit: int
    target: str
    address: int


def write(output: Output, value: int, timeout_s: float) -> None:
    """Set the output, on a connection of its own.

    Raises:
        OSError: nobody answered in time, or the server refused, which is said.
    """
    number = (0xFF00 if value else 0) if output.target == COIL else value
    question = _WRITE.pack(_FUNCTIONS[output.target], output.address, number)
    connection = Connection(output.host, output.port, output.unit, timeout_s)
    with contextlib.closing(connection):
        try:
            answer = connection.ask(question)
        except ModbusRefused as exc:
            raise OSError(f"{output.target} {output.address} was not written: {exc}") from exc
    if answer != question:
        raise OSError(f"{output.target} {output.address}: the server wrote something else")
