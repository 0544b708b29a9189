"""Writing a node of an OPC UA server while a rule holds, and its fail-safe value otherwise."""

from typing import Optional

from edgeform_runtime import opcua_client
from edgeform_runtime.guardian import opcua_fail_safe
from edgeform_runtime.opcua_client import Node
from edgeform_runtime.pipeline.action import OpcUaWrite
from edgeform_runtime.stages.action.held import HeldSink
from edgeform_runtime.stages.action.packages import needs
from edgeform_runtime.stages.contract import Place


def opcua_sink(stage: OpcUaWrite, place: Place) -> HeldSink:
    """The sink.

    Raises:
        PipelineInvalid: asyncua is not in the closure.
    """
    needs("opcua_write", "asyncua")
    timeout_s = stage.delivery.timeout_s

    def secret(name: Optional[str]) -> bytes:
        return b"" if name is None else place.secrets.value(name)

    def node() -> Node:
        # Read for each write, so that a rotated secret needs no restart.
        return Node(
            url=stage.url,
            node=stage.node,
            security=stage.security,
            certificate=secret(stage.certificate),
            key=secret(stage.key),
            server_certificate=secret(stage.server_certificate),
            username=stage.username,
            password=secret(stage.password).decode().strip() or None,
        )

    return HeldSink(
        "opcua_write",
        stage.hold_s,
        hold=lambda: opcua_client.write(node(), stage.value, timeout_s),
        release=lambda: opcua_client.write(node(), stage.fail_safe, timeout_s),
        fail_safes=lambda: [opcua_fail_safe(node(), stage.fail_safe)],
    )
