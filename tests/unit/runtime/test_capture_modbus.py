import asyncio
import contextlib
import socket
import struct
import threading

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from support.sources import listening, quick_backoff

from edgeform_runtime.modbus_tcp import ModbusRefused
from edgeform_runtime.pipeline.capture import Modbus
from edgeform_runtime.stages.capture.modbus import (
    ModbusClient,
    ModbusSource,
    values_of,
)
from edgeform_runtime.stages.content import series_of


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def plc(port):
    """pymodbus' own server with a few registers and coils."""
    holding = SimData(
        0,
        values=[10, 65535, 3, 4, *struct.unpack(">2H", struct.pack(">f", 21.5))],
        datatype=DataType.REGISTERS,
    )
    coils = SimData(0, values=[True, False, True, True] + [False] * 12, datatype=DataType.BITS)
    device = SimDevice(
        7,
        simdata=(
            [coils],
            [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
            [holding],
            [SimData(0, values=[7, 8, 9], datatype=DataType.REGISTERS)],
        ),
    )
    started, loop, held = threading.Event(), asyncio.new_event_loop(), {}

    async def serve():
        server = ModbusTcpServer(device, address=("127.0.0.1", port))
        held["server"] = server
        await server.serve_forever(background=True)
        started.set()

    def run():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()
        loop.run_until_complete(held["server"].shutdown())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def modbus(port, **changes):
    fields = {
        "host": "127.0.0.1",
        "address": 0,
        "port": port,
        "unit": 7,
        "table": "holding",
        "count": 2,
        "type": "u16",
        "word_order": "big",
        "scale": 1.0,
        "offset": 0.0,
        "interval_s": 0.02,
        "timeout_s": 1.0,
        "window": 1,
        "hop": 0,
    }
    return Modbus(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({}, [10, 65535]),
        ({"type": "i16"}, [10, -1]),
        ({"type": "f32", "address": 4, "count": 1}, [21.5]),
        ({"type": "u32", "address": 2, "count": 1, "word_order": "little"}, [4 * 65536 + 3]),
        ({"table": "input", "count": 3, "scale": 0.5, "offset": -1.0}, [2.5, 3, 3.5]),
        ({"table": "coils", "count": 4}, [1, 0, 1, 1]),
    ],
)
def test_each_table_and_type_is_read_from_a_real_server(changes, row):
    port, stop = free_port(), threading.Event()
    with plc(port):
        source = ModbusSource(modbus(port, **changes), stop, quick_backoff())
        with listening(source, stop) as at_work:
            assert series_of(at_work.wait_for(1)[0].content).tolist() == [row]


def test_a_server_that_went_away_is_counted_and_found_again_and_windows_do_not_bridge_the_gap():
    port, stop = free_port(), threading.Event()
    source = ModbusSource(modbus(port, window=3), stop, quick_backoff())
    with listening(source, stop) as at_work:
        at_work.until(lambda: "unreachable" in at_work.heard.reasons(), "a loss")
        with plc(port):
            at_work.wait_for(1)
        at_work.until(
            lambda: {"connection", "timeout"} & set(at_work.heard.reasons()), "a second loss"
        )
        before = len(at_work.frames)
        with plc(port):
            at_work.wait_for(before + 1)
        assert at_work.heard.findings >= 2
        assert series_of(at_work.frames[-1].content).shape == (3, 2)


def test_an_address_that_the_server_has_not_is_a_failure_and_no_loss():
    port, stop = free_port(), threading.Event()
    with plc(port):
        source = ModbusSource(modbus(port, address=5000), stop, quick_backoff())
        with listening(source, stop) as at_work:
            at_work.until(lambda: at_work.heard.failures, "a failure")
            assert at_work.heard.failures[0] == "refused"
            assert at_work.heard.losses == []


@contextlib.contextmanager
def answering(answer):
    """A server that gives one answer, whatever is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run():
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    question = connection.recv(12)
                    connection.sendall(answer(question))
                    connection.recv(1)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield server.getsockname()[1]


def test_an_answer_to_another_question_is_not_taken_for_a_measurement():
    def stale(question):
        return struct.pack(">HHHBBBH", 999, 0, 5, 7, 3, 2, 42)

    with answering(stale) as port:
        client = ModbusClient("127.0.0.1", port, 7, 2.0)
        with pytest.raises(ConnectionError, match="no question"):
            client.registers("holding", 0, 1)
        client.close()


def test_an_answer_of_the_wrong_length_is_refused():
    def short(question):
        return question[:4] + struct.pack(">HBBBB", 4, 7, 3, 1, 42)

    with answering(short) as port:
        client = ModbusClient("127.0.0.1", port, 7, 2.0)
        with pytest.raises(ConnectionError, match="where 3 belong"):
            client.registers("holding", 0, 1)
        client.close()


def test_an_exception_is_told_by_its_name():
    def busy(question):
        return question[:4] + struct.pack(">HBBB", 3, 7, 0x83, 6)

    with answering(busy) as port:
        client = ModbusClient("127.0.0.1", port, 7, 2.0)
        with pytest.raises(ModbusRefused, match="server device busy"):
            client.registers("holding", 0, 1)
        client.close()


def test_the_word_order_matters_for_32_bits_only():
    body = bytes([0, 1, 0, 2])
    assert values_of(body, "u32", "big") == [65538.0]
    assert values_of(body, "u32", "little") == [131073.0]
    assert values_of(body, "u16", "little") == [1.0, 2.0]
