"""Ansible as a subprocess: our own callback, a private configuration, and JSON Lines back.

Used for day zero and for vendor roles, whose effect nobody can predict: what comes from here is
always `opaque`. ansible-core is never imported (its licence stays on its side of the process).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeform.errors import OutsideFailed
from edgeform.transport.base import ProvisionStep

UNREACHABLE, FAILED = "unreachable", "failed"


class AnsibleMissing(OutsideFailed):
    summary = "Ansible is not here"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLogin:
    """How a machine is reached before edgeform has a user there; the password is never printed."""

    name: str
    host: str
    port: int
    user: str
    known_hosts: Path
    password: str | None = field(default=None, repr=False)
    key_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a playbook did on one host; `reached` tells a refused login from a failed task."""

    host: str
    reached: bool
    succeeded: bool
    changed: int
    failures: tuple[str, ...]


def play(
    playbook: Path,
    login: FirstLogin,
    variables: Mapping[str, str | bool],
    *,
    plugins: Path,
    roles: Path | None = None,
    on_step: Callable[[ProvisionStep], None],
    timeout_s: float = 900.0,
) -> Played:
    """Run a playbook on one host and tell each task as it ends.

    Raises:
        AnsibleMissing: no ansible-playbook beside this Python or on PATH; or no sshpass for a password.
        OutsideFailed: Ansible itself failed, or ran longer than `timeout_s`.
    """
    program = _program()
    if login.password is not None and shutil.which("sshpass") is None:
        raise AnsibleMissing(
            "a login by password needs sshpass",
            hint="Install it:\n    sudo apt-get install sshpass",
        )
    with tempfile.TemporaryDirectory(prefix="edgeform-ansible-") as scratch:
        arguments = _prepare(Path(scratch), playbook, login, variables)
        environment = _environment(Path(scratch), plugins, roles)
        process = subprocess.Popen(
            (program, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(errors := (Path(scratch) / "stderr").open("w+b")),
            env=environment,
            cwd=scratch,
        )
        try:
            played = _follow(process, login.name, on_step, timeout_s)
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace")
        finally:
            process.kill()
            process.wait()
            errors.close()
    if played is None:
        raise OutsideFailed(
            f"ansible-playbook gave no result (exit {process.returncode}): {said.strip()[-800:]}",
            address=login.name,
            hint="Run the playbook by hand to see more; playbooks/README.md says how.",
        )
    return played


def _program() -> str:
    beside = Path(sys.executable).with_name("ansible-playbook")
    found = str(beside) if beside.exists() else shutil.which("ansible-playbook")
    if found is None:
        raise AnsibleMissing(
            "ansible-playbook is neither beside this Python nor on PATH",
            hint="Install the extra:\n    pip install 'edgeform[ansible]'",
        )
    return found


def _prepare(
    scratch: Path, playbook: Path, login: FirstLogin, variables: Mapping[str, str | bool]
) -> tuple[str, ...]:
    """The arguments; everything secret goes into files of a directory only we can read."""
    host: dict[str, Any] = {
        "ansible_host": login.host,
        "ansible_port": login.port,
        "ansible_user": login.user,
        "ansible_ssh_common_args": (
            f"-o StrictHostKeyChecking=yes -o UserKnownHostsFile={login.known_hosts}"
            " -o GlobalKnownHostsFile=/dev/null -o ForwardAgent=no"
        ),
    }
    if login.key_file is not None:
        host["ansible_ssh_private_key_file"] = login.key_file
    inventory = scratch / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": {login.name: host}}}))
    extra = scratch / "variables.json"
    extra.write_text(json.dumps(dict(variables)))
    arguments = ["-i", str(inventory), "-e", f"@{extra}", str(playbook)]
    if login.password is not None:
        secret = scratch / "password"
        secret.touch(mode=0o600)
        secret.write_text(login.password)
        arguments = ["--connection-password-file", str(secret), *arguments]
    return tuple(arguments)


def _environment(scratch: Path, plugins: Path, roles: Path | None) -> dict[str, str]:
    config = scratch / "ansible.cfg"
    config.write_text(
        "[defaults]\n"
        + (f"roles_path = {roles.resolve()}\n" if roles is not None else "")
        + f"callback_plugins = {plugins / 'callback'}\n"
        "stdout_callback = edgeform_jsonl\n"
        f"local_tmp = {scratch / 'tmp'}\n"
        "host_key_checking = True\n"
        "retry_files_enabled = False\n"
        "interpreter_python = auto_silent\n"
        "[ssh_connection]\n"
        "pipelining = True\n"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
    return kept | {"ANSIBLE_CONFIG": str(config), "LC_ALL": "C.UTF-8"}


def _follow(
    process: "subprocess.Popen[bytes]",
    host: str,
    on_step: Callable[[ProvisionStep], None],
    timeout_s: float,
) -> Played | None:
    reached, failures, changed, stats = True, [], 0, None
    for line in _lines(process, timeout_s):
        if line.get("event") == "stats":
            stats = line
        if line.get("event") != "task" or line.get("outcome") == "skipped":
            continue
        outcome = str(line.get("outcome"))
        reached = reached and outcome != UNREACHABLE
        changed += bool(line.get("changed"))
        detail = str(line.get("detail", ""))
        if outcome in {UNREACHABLE, FAILED}:
            failures.append(f"{line.get('task')}: {detail}")
        on_step(
            ProvisionStep(
                operation=str(line.get("task")),
                changed=bool(line.get("changed")),
                succeeded=outcome not in {UNREACHABLE, FAILED},
                detail=detail,
            )
        )
    process.wait()
    if stats is None:
        return None
    return Played(
        host=host,
        reached=reached,
        succeeded=not failures and process.returncode == 0,
        changed=changed,
        failures=tuple(failures),
    )


def _lines(process: "subprocess.Popen[bytes]", timeout_s: float) -> Iterator[dict[str, Any]]:
    """Each JSON line as it comes; the process is killed when its time is over."""
    if process.stdout is None:
        return
    clock = threading.Timer(timeout_s, process.kill)
    clock.start()
    try:
        for raw in process.stdout:
            try:
                found = json.loads(raw)
            except ValueError:
                continue  # Ansible's own warnings stand between the lines
            if isinstance(found, dict):
                yield found
    finally:
        clock.cancel()
