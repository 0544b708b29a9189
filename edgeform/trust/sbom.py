"""A CycloneDX list of parts, worked out from an artifact's signed manifest and from nothing else.

So it needs no signature of its own: whoever has the manifest can make the very same bytes again. It knows
what the manifest knows: the packages of a closure with their versions, the Debian packages of a driver
artifact, and every file with its digest. What those packages contain in turn, and their licences, it does
not know.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from edgeform_wire import digest as digests
from edgeform_wire.artifact import Artifact

SPEC_VERSION = "1.6"
_TYPES = {"model": "machine-learning-model", "runtime": "framework", "driver": "device-driver"}
OWN = "edgeform"


def sbom(artifact: Artifact) -> bytes:
    """The CycloneDX 1.6 document (JSON, UTF-8); the same bytes for the same manifest."""
    whole = artifact.digest
    packages = sorted(_packages(artifact), key=lambda one: str(one["bom-ref"]))
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": {
            # Without its version: another edgeform must make the same bytes.
            "tools": {"components": [{"type": "application", "name": "edgeform"}]},
            "component": {
                "type": _TYPES.get(artifact.kind, "file"),
                "bom-ref": whole,
                "name": artifact.name,
                "version": artifact.version,
                "description": f"{artifact.kind}, variant {artifact.variant}",
                "hashes": [_hash(whole)],
            },
        },
        "components": [
            *packages,
            *(
                {
                    "type": "file",
                    "bom-ref": f"file:{file.path}",
                    "name": file.path,
                    "hashes": [_hash(file.digest)],
                }
                for file in artifact.files
            ),
        ],
        "dependencies": [{"ref": whole, "dependsOn": [one["bom-ref"] for one in packages]}],
    }
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _packages(artifact: Artifact) -> Iterator[dict[str, Any]]:
    """The packages that the manifest names, with the URL by which vulnerability databases know them."""
    found = artifact.metadata.get("packages")
    if isinstance(found, dict):
        for name, version in found.items():
            kind = "generic" if name == OWN else "pypi"
            yield _library(f"pkg:{kind}/{name}@{_quoted(version)}", name, str(version))
    elif isinstance(found, list):
        for one in found:
            url = f"pkg:deb/{_quoted(one['name'])}@{_quoted(one['version'])}?arch={one['arch']}"
            yield _library(url, one["name"], one["version"])


def _library(url: str, name: str, version: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": url, "purl": url, "name": name, "version": version}


def _quoted(text: object) -> str:
    """As the specification of package URLs has it: a version's `+` is no space."""
    return quote(str(text), safe=".-_~:")


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digests.hex_of(digest)}
