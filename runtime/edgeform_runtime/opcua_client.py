"""Writing one value of an OPC UA server, with asyncua, which only a closure of the stage extra opcua has.

Sources: OPC 10000-4 §5.10.4 (Write), OPC 10000-7 (SecurityPolicy Basic256Sha256); asyncua's documentation.
"""

import base64
import logging
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from edgeform_wire.fields import Fields

POLICY = "Basic256Sha256"
SESSION = "edgeform"
CLOSE_S = 2.0


@dataclass(frozen=True)
class Node:
    """One value of a server, and how both sides are proven; certificates and key are PEM or DER."""

    url: str
    node: str
    security: str
    certificate: bytes = b""
    key: bytes = b""
    server_certificate: bytes = b""
    username: Optional[str] = None
    password: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """For the guardian's standard input, which nobody else reads."""
        found: Dict[str, Any] = dict(vars(self))
        for name in ("certificate", "key", "server_certificate"):
            found[name] = base64.b64encode(found[name]).decode("ascii")
        return found


def node_of(fields: Fields) -> Node:
    """The counterpart of `Node.to_json`."""
    return Node(
        url=fields.text("url"),
        node=fields.text("node"),
        security=fields.text("security"),
        certificate=base64.b64decode(fields.text("certificate")),
        key=base64.b64decode(fields.text("key")),
        server_certificate=base64.b64decode(fields.text("server_certificate")),
        username=fields.optional_text("username"),
        password=fields.optional_text("password"),
    )


def write(node: Node, value: float, timeout_s: float) -> None:
    """Set the value, on a session of its own, in the node's own data type.

    Raises:
        OSError: nobody answered in time, it is not the server it should be, or it refused, which is said.
    """
    import asyncio  # noqa: PLC0415 - the guardian imports this module and may never write

    # asyncua logs what it raises, and its certificates, at several levels.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    try:
        asyncio.run(asyncio.wait_for(_write(node, value, timeout_s), timeout_s))
    except asyncio.TimeoutError as exc:
        raise OSError(f"{node.url} did not answer within {timeout_s:g} s") from exc


async def _write(node: Node, value: float, timeout_s: float) -> None:
    from asyncua import ua  # noqa: PLC0415 - 0.3 s that only a write need pay
    from asyncua.client.client import Client  # noqa: PLC0415 - likewise
    from asyncua.ua.uaerrors import UaError  # noqa: PLC0415 - likewise

    client = Client(node.url, timeout=timeout_s)
    client.name = client.description = SESSION
    try:
        if node.security != "none":
            await _secure(client, node)
        if node.username is not None:
            client.set_user(node.username)
            client.set_password(node.password or "")
        async with client:
            found = client.get_node(node.node)
            kind = await found.read_data_type_as_variant_type()
            await found.write_value(ua.DataValue(ua.Variant(_typed(value, kind, ua), kind)))
    except UaError as exc:
        raise OSError(f"{node.node} was not written: {_words(exc)}") from exc
    except (ValueError, TypeError, ConnectionError) as exc:
        raise OSError(f"{node.url}: {type(exc).__name__}: {exc}"[:300]) from exc


async def _secure(client: Any, node: Node) -> None:
    from asyncua import ua  # noqa: PLC0415 - see `_write`
    from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256  # noqa: PLC0415

    certificate, uri = _der(node.certificate)
    server, _ = _der(node.server_certificate)
    if uri:
        client.application_uri = uri  # a server compares it with the certificate's
    mode = ua.MessageSecurityMode.Sign
    if node.security == "sign_and_encrypt":
        mode = ua.MessageSecurityMode.SignAndEncrypt
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        certificate,
        _key_der(node.key),
        server_certificate=server,
        mode=mode,
    )


def _der(content: bytes) -> Tuple[bytes, str]:
    """A certificate as DER, and the application it is for (its first URI); empty where it names none."""
    from cryptography import x509  # noqa: PLC0415 - in the closure with asyncua
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    is_pem = content.lstrip().startswith(b"-----BEGIN")
    found = (x509.load_pem_x509_certificate if is_pem else x509.load_der_x509_certificate)(content)
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    return found.public_bytes(Encoding.DER), uris[0] if uris else ""


def _key_der(content: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - see `_der`

    if not content.lstrip().startswith(b"-----BEGIN"):
        return content
    key = serialization.load_pem_private_key(content, password=None)
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _typed(value: float, kind: Any, ua: Any) -> Any:
    if kind == ua.VariantType.Boolean:
        return bool(value)
    if kind in (ua.VariantType.Float, ua.VariantType.Double):
        return value
    if value != int(value):
        raise ValueError(f"{value:g} is no whole number, and the node's type is {kind.name}")
    return int(value)


def _words(exc: Exception) -> str:
    """The first line, without what the library adds about itself."""
    return (str(exc) or type(exc).__name__).splitlines()[0][:200]
