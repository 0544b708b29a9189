"""What `edgeform plan` must not import, because nobody who plans needs it and everybody waits for it."""

import json
import subprocess
import sys

from edgeform.cli import tooling
from edgeform.trust.create import REPOSITORY_FOLDER
from edgeform.trust.repository import Repository

HEAVY = ("tuf", "securesystemslib", "hvac", "requests", "pyinfra", "gevent", "paramiko", "rich")


def test_plan_imports_neither_signers_nor_ssh():
    program = "import edgeform.cli.cmd_plan, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, check=True)
    assert not set(HEAVY) & set(json.loads(done.stdout))


def test_the_planner_finds_published_metadata_where_the_trust_repository_keeps_it(tmp_path):
    kept = Repository(tmp_path / REPOSITORY_FOLDER).metadata
    assert tmp_path / tooling.METADATA_FOLDER == kept
