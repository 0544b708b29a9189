"""Writing one coil or register of a Modbus TCP server, with the standard library alone.

Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b §3.1.3 (header) and MODBUS Application
Protocol V1.1b3 §6.5, §6.6 (functions 5 and 6), §7 (exceptions).
"""

import socket
import struct
from dataclasses import dataclass

COIL, REGISTER = "coil", "register"
TARGETS = (COIL, REGISTER)
MAX_ADDRESS = MAX_VALUE = 0xFFFF
_FUNCTIONS = {COIL: 5, REGISTER: 6}
_EXCEPTIONS = {
    1: "it has no such function",
    2: "it has no such address",
    3: "it does not take the value",
    4: "it failed",
    6: "it is busy",
}
_HEADER = struct.Struct(">HHHB")
_WRITE = struct.Struct(">BHH")


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
    with socket.create_connection((output.host, output.port), timeout_s) as connection:
        connection.sendall(_HEADER.pack(1, 0, len(question) + 1, output.unit) + question)
        _, protocol, length, _ = _HEADER.unpack(_exactly(connection, _HEADER.size))
        if protocol != 0 or not 2 <= length <= 254:
            raise OSError("the answer is not Modbus")
        answer = _exactly(connection, length - 1)
    if answer[0] & 0x80:
        said = _EXCEPTIONS.get(answer[1] if len(answer) > 1 else 0, "it gave no known reason")
        raise OSError(f"{output.target} {output.address} was not written: {said}")
    if answer != question:
        raise OSError(f"{output.target} {output.address}: the server wrote something else")


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            raise OSError("the server closed the connection")
        found += part
    return found
