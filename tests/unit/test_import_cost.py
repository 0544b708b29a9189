"""What `edgeform plan` must not import, because nobody who plans needs it and everybody waits for it."""

import json
import os
import subprocess
import sys

from edgeform.cli import tooling
from edgeform.trust.create import REPOSITORY_FOLDER
from edgeform.trust.repository import Repository

BEFORE_THE_WORKER = ("yaml", "edgeform.plan", "edgeform.spec", "edgeform.report")
HEAVY = (
    "tuf",
    "securesystemslib",
    "hvac",
    "requests",
    "pyinfra",
    "gevent",
    "paramiko",
    "rich",
    "cryptography",
)


def imported_by(*modules):
    program = f"import {', '.join(modules)}, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_plan_imports_neither_signers_nor_ssh():
    parts = ("cmd_plan", "planning", "plan_shown", "talking", "workspace")
    assert not set(HEAVY) & imported_by(*(f"edgeform.cli.{part}" for part in parts))


def test_plan_starts_its_worker_before_it_imports_what_reads_a_site():
    assert not set(BEFORE_THE_WORKER) & imported_by(
        "edgeform.cli.cmd_plan", "edgeform.cli.workspace", "edgeform.transport.bymode"
    )


def test_the_planner_finds_published_metadata_where_the_trust_repository_keeps_it(tmp_path):
    kept = Repository(tmp_path / REPOSITORY_FOLDER).metadata
    assert tmp_path / tooling.METADATA_FOLDER == kept


def test_help_is_printed_without_click_and_is_what_click_prints():
    program = (
        "import sys; sys.argv = ['edgeform', '--help']\n"
        "from edgeform.cli.start import main\n"
        "main()\n"
        "assert not {'click', 'dataclasses', 'pathlib'} & set(sys.modules), sorted(sys.modules)\n"
    )
    bare = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    quick = subprocess.run(
        (sys.executable, "-S", "-c", program),
        capture_output=True,
        check=False,
        env=bare | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert quick.returncode == 0, quick.stderr.decode()
    slow = (sys.executable, "-c", "from edgeform.cli.main import main; main(['--help'])")
    assert quick.stdout == subprocess.run(slow, capture_output=True, check=True, env=bare).stdout


def test_a_narrow_terminal_gets_clicks_own_wrapping():
    narrow = os.environ | {"COLUMNS": "60"}
    done = subprocess.run(
        (sys.executable, "-m", "edgeform", "--help"), capture_output=True, check=True, env=narrow
    )
    assert max(map(len, done.stdout.decode().splitlines())) <= 60
