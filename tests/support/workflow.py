"""The very steps of the shipped CI templates, run by bash as the services run them.

What a service itself does (checkout, keeping an artifact) is done by the test; expressions are replaced
from a table, and one that is not in it fails the test.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from edgeform.emit.ci_files import Service, ci_file

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@dataclass(frozen=True)
class Ran:
    code: int
    output: str


def github_job(job: str, *, site: str) -> tuple[dict, dict]:
    """(the workflow's environment, the job) as parsed from the file."""
    document = yaml.safe_load(ci_file(Service.GITHUB, site=site).content)
    return document["env"], document["jobs"][job]


def gitlab_job(job: str, *, site: str) -> tuple[dict, dict]:
    document = yaml.safe_load(ci_file(Service.GITLAB, site=site).content)
    return document["variables"], document[job]


def filled(value: str, table: dict[str, str]) -> str:
    return EXPRESSION.sub(lambda found: table[found[1]], value)


def environment(more: dict[str, str]) -> dict[str, str]:
    """Nothing of this machine but what programs need to run."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {k: os.environ[k] for k in ("HOME", "LANG", "TMPDIR") if k in os.environ}
    return kept | {"PATH": path, "NO_COLOR": "1", "CI": "true"} | more


def bash(script: str, folder: Path, variables: dict[str, str]) -> Ran:
    """A step as GitHub and GitLab run it: bash that ends at the first error."""
    done = subprocess.run(
        ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script),
        cwd=folder,
        env=environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    return Ran(done.returncode, done.stdout)


def run_github(
    job: str, folder: Path, *, site: str, table: dict, variables: dict, keep=None
) -> Ran:
    """All steps of a job in order; after one failed, only those that ask for `always()`."""
    outer, parsed = github_job(job, site=site)
    fixed = {name: filled(value, table) for name, value in outer.items()}
    code, output = 0, ""
    for step in parsed["steps"]:
        condition = str(step.get("if", ""))
        if code and "always()" not in condition:
            continue
        wanted = re.search(r"hashFiles\('([^']+)'\)", condition)
        if wanted and not (folder / wanted[1]).exists():
            continue
        if "uses" in step:
            name = step["uses"].partition("@")[0]
            if name == "actions/upload-artifact":
                keep(filled(step["with"]["name"], table), folder / step["with"]["path"])
            continue
        own = {name: filled(value, table) for name, value in step.get("env", {}).items()}
        ran = bash(step["run"], folder, variables | fixed | own)
        output += f"$ {step['name']}\n{ran.output}"
        code = code or ran.code
    return Ran(code, output)


def run_gitlab(job: str, folder: Path, *, site: str, variables: dict) -> Ran:
    """The script of a job: one shell, as the runner does it."""
    fixed, parsed = gitlab_job(job, site=site)
    outer = {"CI_PROJECT_DIR": str(folder)} | variables | fixed
    return bash("\n".join(parsed["script"]), folder, outer)
