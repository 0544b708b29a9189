"""The list of parts of an artifact: CycloneDX, from the signed manifest alone, the same bytes each time."""

import json

from support.device import an_artifact

from edgeform.trust.sbom import sbom

FILES = {"lib/engine/__init__.py": b"x", "bin/run": b"y"}


def listed(metadata):
    from dataclasses import replace

    made = replace(an_artifact(FILES), metadata=metadata)
    return made, json.loads(sbom(made))


def test_packages_have_the_urls_that_vulnerability_databases_know():
    packages = {"numpy": "1.26.4", "torch": "2.1.0+cpu", "edgeform": "0.1.0"}
    _, found = listed({"packages": packages})
    urls = [c["purl"] for c in found["components"] if c["type"] == "library"]
    assert urls == [
        "pkg:generic/edgeform@0.1.0",
        "pkg:pypi/numpy@1.26.4",
        "pkg:pypi/torch@2.1.0%2Bcpu",
    ]


def test_debian_packages_and_every_file_with_its_digest():
    package = {"name": "hailort", "version": "5:4.2~rc1", "arch": "amd64", "file": "hailort.deb"}
    made, found = listed({"packages": [package]})
    assert found["components"][0]["purl"] == "pkg:deb/hailort@5:4.2~rc1?arch=amd64"
    files = {c["name"]: c["hashes"][0]["content"] for c in found["components"][1:]}
    assert files == {f.path: f.digest.removeprefix("sha256:") for f in made.files}
    assert found["metadata"]["component"]["hashes"][0]["content"] in made.digest


def test_the_same_manifest_gives_the_same_bytes_and_references_are_unique():
    made, found = listed({"packages": {"numpy": "1.26.4"}})
    assert sbom(made) == sbom(made)
    references = [c["bom-ref"] for c in (found["metadata"]["component"], *found["components"])]
    assert len(set(references)) == len(references)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
