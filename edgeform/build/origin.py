"""Where a built variant comes from: an in-toto statement with SLSA v1 provenance, and a CycloneDX 1.6 SBOM.

Both lie in the artifact, `provenance.json` and `sbom.cdx.json`, so that they travel with it and what signs
the artifact signs them. Neither says when or where: the same build gives the same bytes.

Sources: in-toto Statement v1 and SLSA Build Provenance v1 (slsa.dev/spec/v1.0/provenance); CycloneDX 1.6
(cyclonedx.org/docs/1.6/json).
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeform.build.builders import Builder
from edgeform.build.derivation import Derivation
from edgeform.build.figures import BuildReport
from edgeform.version import VERSION
from edgeform_wire import canonical
from edgeform_wire import digest as digests

if TYPE_CHECKING:
    from edgeform.build.variants import VariantRequest

PROVENANCE, SBOM = "provenance.json", "sbom.cdx.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://edgeform.dev/build/variant/v1"
BUILDER_ID = "https://edgeform.dev/builder/v1"
_NAMESPACE = uuid.UUID("6f1d9ac0-35a3-5f0b-9d4f-3f8c7d6f8f10")
"""Of serial numbers that follow from what is described."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Digests of the two documents."""

    provenance: str
    sbom: str


def write_origin(
    tree: Path,
    *,
    request: "VariantRequest",
    derivation: Derivation,
    report: BuildReport,
    builders: tuple[Builder, ...],
) -> Origin:
    """Add both documents to the variant's files, which they describe."""
    files = [
        (path.relative_to(tree).as_posix(), str(digests.of_file(str(path))))
        for path in sorted(tree.rglob("*"))
        if path.is_file()
    ]
    sbom = canonical.encode(sbom_of(request, derivation, builders, files))
    (tree / SBOM).write_bytes(sbom)
    listed = [*files, (SBOM, digests.of_bytes(sbom))]
    provenance = canonical.encode(provenance_of(request, derivation, report, builders, listed))
    (tree / PROVENANCE).write_bytes(provenance)
    return Origin(provenance=digests.of_bytes(provenance), sbom=digests.of_bytes(sbom))


def provenance_of(
    request: "VariantRequest",
    derivation: Derivation,
    report: BuildReport,
    builders: tuple[Builder, ...],
    files: list[tuple[str, str]],
) -> dict[str, Any]:
    """The statement: its subjects are the variant's files."""
    rung = report.taken
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": _digest(found)} for name, found in files],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "model": request.model,
                    "version": request.version,
                    "variant": request.variant.name,
                    "derivation": derivation.to_json(),
                },
                "internalParameters": {
                    "rung": None if rung is None else rung.name,
                    "syntheticCalibration": request.is_synthetic,
                },
                "resolvedDependencies": list(_dependencies(request, derivation, builders)),
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER_ID,
                    "version": {"edgeform": VERSION},
                    "builderDependencies": [
                        {"name": b.name, "digest": _digest(b.digest)} for b in builders
                    ],
                },
                "metadata": {"invocationId": derivation.digest},
            },
        },
    }


def sbom_of(
    request: "VariantRequest",
    derivation: Derivation,
    builders: tuple[Builder, ...],
    files: list[tuple[str, str]],
) -> dict[str, Any]:
    """The bill of materials: the variant, what it was made from, and the tools that made it."""
    ref = f"{request.model}@{request.version}/{request.variant.name}"
    source = f"{request.model}@{request.version}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, derivation.digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "machine-learning-model",
                "bom-ref": ref,
                "name": request.model,
                "version": request.version,
                "description": f"variant {request.variant.name} for {request.variant.engine}",
                "components": [
                    {
                        "type": "file",
                        "bom-ref": f"{ref}#{name}",
                        "name": name,
                        "hashes": [_hash(found)],
                    }
                    for name, found in files
                ],
            },
            "tools": {"components": list(_tools(builders))},
        },
        "components": [
            {
                "type": "machine-learning-model",
                "bom-ref": source,
                "name": request.model,
                "version": request.version,
                "description": f"source, {request.build.source}",
                "hashes": [_hash(derivation.source)],
            },
            *_data(derivation),
        ],
        "dependencies": [
            {"ref": ref, "dependsOn": [source, *(d["bom-ref"] for d in _data(derivation))]}
        ],
    }


def _tools(builders: tuple[Builder, ...]) -> Iterator[dict[str, Any]]:
    yield {
        "type": "application",
        "bom-ref": f"pkg:pypi/edgeform@{VERSION}",
        "name": "edgeform",
        "version": VERSION,
        "purl": f"pkg:pypi/edgeform@{VERSION}",
    }
    seen: set[str] = set()
    for builder in builders:
        for name, version in builder.packages:
            purl = f"pkg:pypi/{name}@{version}"
            if purl not in seen:
                seen.add(purl)
                yield {
                    "type": "library",
                    "bom-ref": purl,
                    "name": name,
                    "version": version,
                    "purl": purl,
                }


def _data(derivation: Derivation) -> list[dict[str, Any]]:
    found = []
    named = (("calibration", derivation.calibration), ("evaluation", derivation.evaluation))
    for name, digest in named:
        if digest is not None and digest.startswith(digests.PREFIX):
            found.append(
                {
                    "type": "data",
                    "bom-ref": f"data/{name}",
                    "name": f"{name} data set",
                    "hashes": [_hash(digest)],
                }
            )
    return found


def _dependencies(
    request: "VariantRequest", derivation: Derivation, builders: tuple[Builder, ...]
) -> Iterator[dict[str, Any]]:
    yield {
        "name": f"{request.model}@{request.version}",
        "digest": _digest(derivation.source),
        "annotations": {"entry": derivation.entry},
    }
    for item in _data(derivation):
        yield {"name": item["name"], "digest": {"sha256": item["hashes"][0]["content"]}}
    for builder in builders:
        for name, version in builder.packages:
            yield {"uri": f"pkg:pypi/{name}@{version}", "annotations": {"builder": builder.name}}


def _digest(found: str) -> dict[str, str]:
    return {"sha256": digests.hex_of(found)}


def _hash(found: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digests.hex_of(found)}
