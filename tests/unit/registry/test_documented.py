"""What the documentation shows of registries is valid, and an index that follows it is read."""

import json
import re
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from support.modelserver import a_server
from support.registry_kinds import FILES, publish, secret
from support.spec import write_site

from edgeform.domain.artifacts import VersionRule
from edgeform.domain.registries import HttpRef
from edgeform.registry.open import opened
from edgeform.spec.load import load

ROOT = Path(__file__).parents[3]


def blocks(page, language):
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL
    )


def schema():
    return Draft202012Validator(
        json.loads((ROOT / "schemas" / "http-index.schema.json").read_text())
    )


def test_the_index_in_the_documentation_is_one_and_is_read(tmp_path):
    models, model = (json.loads(text) for text in blocks("reference/http-index.md", "json"))
    schema().validate(models)
    schema().validate(model)
    with a_server() as served:
        served.files["/edge/index.json"] = json.dumps(models).encode()
        files = model["versions"]["1.2.0"]["files"]
        files[1]["url"] = f"{served.url}/elsewhere"
        served.files["/edge/digits/index.json"] = json.dumps(model).encode()
        served.files["/edge/digits/1.2.0/model.onnx"] = FILES["model.onnx"]
        served.files["/elsewhere"] = FILES["golden/index.json"]
        registry = opened(HttpRef(name="web", url=f"{served.url}/edge"), secret, tmp_path)
        assert registry.models() == tuple(sorted(models["models"]))
        found = registry.resolve("digits", VersionRule.ALIAS, "stable")
        for file in found.files:
            with registry.open(found, file.path) as stream:
                assert stream.read() == FILES[file.path]


def test_the_tests_own_index_follows_the_schema():
    with a_server() as served:
        publish(served, "digits", {"1.0.0": FILES}, {"stable": "1.0.0"})
        schema().validate(json.loads(served.files["/edge/digits/index.json"]))


def test_every_registry_of_the_how_to_is_accepted(tmp_path, monkeypatch):
    every = next(b for b in blocks("how-to/registries.md", "yaml") if "kind: directory" in b)
    spec = yaml.safe_load(every)
    site = {"api_version": "edgeform/v1", "kind": "Site", "metadata": {"name": "s"}, "spec": spec}
    folder = write_site(tmp_path, {"site.yaml": yaml.safe_dump(site), "company-ca.pem": "x"})
    (folder / "models").mkdir()
    found = load(folder)
    assert found.diagnostics == ()
    assert len({type(ref) for ref in found.checked().registries}) == 7
