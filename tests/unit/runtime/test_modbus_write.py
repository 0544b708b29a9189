"""Writing outputs on a real Modbus server, and what they are when the process is gone."""

import asyncio
import contextlib
import signal
import threading
import time

import pytest
from pymodbus.client import ModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from support.broker import free_port
from support.runtime import SCENES, Prefix, a_pipeline_file, running, some_stages

from edgeform_runtime import modbus_tcp
from edgeform_runtime.modbus_tcp import Output

SCENE = (SCENES / "scene-00-digit-8.png").read_bytes()


@contextlib.contextmanager
def a_plc():
    """(port, client) of pymodbus' own server: 16 coils, 4 registers, unit 1."""
    port = free_port()
    bits = SimData(0, values=[False] * 16, datatype=DataType.BITS)
    words = SimData(0, values=[0] * 4, datatype=DataType.REGISTERS)
    device = SimDevice(1, simdata=([bits], [bits], [words], [words]))
    started, loop, held = threading.Event(), asyncio.new_event_loop(), {}

    async def serve():
        held["server"] = ModbusTcpServer(device, address=("127.0.0.1", port))
        await held["server"].serve_forever(background=True)
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
    client = ModbusTcpClient("127.0.0.1", port=port)
    assert client.connect()
    try:
        yield port, client
    finally:
        client.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def coil(client, address):
    return client.read_coils(address, count=1).bits[0]


def until(claim, timeout_s=15.0):
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_coils_and_registers_are_written():
    with a_plc() as (port, client):
        modbus_tcp.write(Output("127.0.0.1", port, 1, "coil", 3), 1, 2.0)
        modbus_tcp.write(Output("127.0.0.1", port, 1, "register", 2), 65535, 2.0)
        assert coil(client, 3)
        assert not coil(client, 2)
        assert client.read_holding_registers(2, count=1).registers == [65535]
        modbus_tcp.write(Output("127.0.0.1", port, 1, "coil", 3), 0, 2.0)
        assert not coil(client, 3)


def test_a_refusal_says_why_and_nobody_there_is_an_error():
    with (
        a_plc() as (port, _),
        pytest.raises(OSError, match="999 was not written: illegal data address"),
    ):
        modbus_tcp.write(Output("127.0.0.1", port, 1, "register", 999), 1, 2.0)
    with pytest.raises(OSError, match="refused"):
        modbus_tcp.write(Output("127.0.0.1", free_port(), 1, "coil", 0), 1, 2.0)


@pytest.fixture
def prefix(tmp_path):
    found = Prefix(tmp_path)
    found.put_model()
    return found


def an_output(prefix, port, **changes):
    action = {"kind": "modbus_write", "host": "127.0.0.1", "port": port, "address": 3}
    action |= {"when": "class == '8'", "hold_s": 60.0, **changes}
    return prefix.put_pipeline(a_pipeline_file(stages=some_stages(action=[action])))


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_an_output_falls_back_when_the_process_ends(prefix, end):
    with a_plc() as (port, client), running(prefix, an_output(prefix, port)) as daemon:
        daemon.http().post("/v1/frames", SCENE)
        until(lambda: coil(client, 3))
        daemon.stop(end)
        until(lambda: not coil(client, 3))


def test_an_output_falls_back_when_the_rule_has_not_held_for_a_while(prefix):
    with (
        a_plc() as (port, client),
        running(prefix, an_output(prefix, port, hold_s=0.3)) as daemon,
    ):
        daemon.http().post("/v1/frames", SCENE)
        until(lambda: coil(client, 3))
        until(lambda: not coil(client, 3))
        assert daemon.state()["phase"] == "ready"
