"""The CI files: filled in safely, valid by the published schemas, and in step with the command line."""

import json
import re
import shlex
from importlib import resources

import jsonschema
import pytest
import yaml
from support.workflow import EXPRESSION

from edgeform.cli.main import cli
from edgeform.emit.ci_files import Service, ci_file
from edgeform.errors import UsageError

SCHEMAS = {Service.GITHUB: "github-workflows", Service.GITLAB: "gitlab-ci"}


@pytest.mark.parametrize("service", Service)
@pytest.mark.parametrize(("site", "branch"), [(".", "main"), ("sites/berlin-2", "release/1.x")])
def test_a_template_is_what_the_services_published_schema_wants(service, site, branch):
    # check-jsonschema carries SchemaStore's github-workflow and GitLab's ci.json: no network.
    vendored = pytest.importorskip("check_jsonschema")
    folder = resources.files(vendored).joinpath("builtin_schemas", "vendor")
    schema = json.loads(folder.joinpath(f"{SCHEMAS[service]}.json").read_text())
    document = yaml.safe_load(ci_file(service, site=site, branch=branch).content)
    if True in document:
        document["on"] = document.pop(True)  # YAML 1.1 reads the key `on` as a boolean
    jsonschema.Draft7Validator(schema).validate(document)


@pytest.mark.parametrize(
    "name", ["a b", "$(x)", "a;b", "-x", "../up", "/abs", "ä", "x\ny", "'", ""]
)
@pytest.mark.parametrize("what", ["site", "branch"])
def test_a_name_that_would_need_quotes_is_refused(name, what):
    with pytest.raises(UsageError, match="quoted"):
        ci_file(Service.GITHUB, **{what: name})


def scripts(service):
    document = yaml.safe_load(ci_file(service).content)
    if service is Service.GITHUB:
        return [s["run"] for j in document["jobs"].values() for s in j["steps"] if "run" in s]
    return [s for j in document.values() if "script" in j for s in j["script"]]


@pytest.mark.parametrize("service", Service)
def test_no_step_lets_an_expression_into_its_script(service):
    # What somebody else can choose (a branch, a title) would be run as a command.
    assert not any(EXPRESSION.search(script) for script in scripts(service))


@pytest.mark.parametrize("service", Service)
def test_every_command_of_a_template_exists_with_these_options(service):
    found = re.findall(r"\bedgeform ([^|;>)&\n]+)", "\n".join(scripts(service)))
    assert len(found) >= 6
    for words in map(shlex.split, found):
        command, context = cli, None
        while hasattr(command, "get_command"):
            name = words.pop(0)
            inner = command.get_command(context, name)
            assert inner is not None, name
            command = inner
        options = {o for p in command.params for o in p.opts}
        assert {w for w in words if w.startswith("-")} <= options, (command.name, words)


def test_only_what_comments_may_write_and_only_what_applies_waits_for_the_environment():
    document = yaml.safe_load(ci_file(Service.GITHUB).content)
    jobs = document["jobs"]
    assert document["permissions"] == {"contents": "read"}
    assert "environment" in jobs["apply"]
    assert "environment" not in jobs["plan"]
    assert "write" not in set(jobs["apply"]["permissions"].values())
    assert "head.repo.full_name == github.repository" in jobs["plan"]["if"]


def test_the_pre_commit_hooks_are_verbs_with_options_that_exist():
    from pathlib import Path

    file = Path(__file__).parents[3] / ".pre-commit-hooks.yaml"
    hooks = yaml.safe_load(file.read_text())
    assert {h["id"] for h in hooks} == {"edgeform-validate", "edgeform-lock"}
    for hook in hooks:
        program, verb, *options = hook["entry"].split()
        assert program == "edgeform"
        found = cli.get_command(None, verb)
        assert set(options) <= {o for p in found.params for o in p.opts}
        assert hook["pass_filenames"] is False
