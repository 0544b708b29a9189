"""The tool's own file: which one runs, where it is kept, and the two-line command that names it."""

import os
import re
import sys
from typing import Optional, Tuple

from edgeform_device.durable import Disk
from edgeform_device.layout import Layout
from edgeform_wire import digest as digests

_TOOL_NAME = re.compile(r"([0-9a-f]{64})\.pyz\Z")


def install_running_tool(disk: Disk, layout: Layout) -> Optional[str]:
    """The path of this very tool in the prefix, with the command that names it; None outside a .pyz."""
    source = running_tool()
    if source is None:
        return None
    digest = digests.of_file(source)
    path = layout.tool(digest)
    if not disk.exists(path):
        import shutil  # noqa: PLC0415 - reads every compression library there is

        tmp = path + ".tmp"
        shutil.copyfile(source, tmp)
        os.chmod(tmp, 0o644)
        disk.publish(tmp, path)
    if disk.read(layout.command) is None:
        write_command(disk, layout, digest)
    return path


def write_command(disk: Disk, layout: Layout, tool_digest: str) -> None:
    """Make `bin/edgeform-device` run this tool from now on, by one rename."""
    disk.write_file(layout.command, command_script(layout, tool_digest), 0o755)


def command_script(layout: Layout, tool_digest: str) -> bytes:
    """The two lines of `bin/edgeform-device`; isolated from the caller's environment and packages."""
    run = f"exec python3 -I -S -B {layout.tool(tool_digest)} --prefix {layout.prefix}"
    return f'#!/bin/sh\n{run} "$@"\n'.encode()


def running_tool() -> Optional[str]:
    """The .pyz that this process runs from; None when it runs from a checkout."""
    path = os.path.abspath(sys.argv[0]) if sys.argv and sys.argv[0] else ""
    return path if path.endswith(".pyz") and os.path.isfile(path) else None


def running_digest() -> Optional[str]:
    """The digest in the name of the running tool's file, which was proven when it was installed."""
    found = _TOOL_NAME.search(running_tool() or "")
    return digests.PREFIX + found.group(1) if found else None


def tool_command(layout: Layout) -> Tuple[str, ...]:
    """How this very tool is run again, up to the verb, whatever directory and environment."""
    own = running_tool()
    if own is None:
        return (sys.executable, "-B", "-m", "edgeform_device", "--prefix", layout.prefix)
    return command_of(layout, own)


def command_of(layout: Layout, tool: str) -> Tuple[str, ...]:
    """How the tool in that file is run, up to the verb."""
    return (python_on_path(), "-I", "-S", "-B", tool, "--prefix", layout.prefix)


def python_on_path() -> str:
    """The first python3 on the path (shutil.which finds the same, and reads every compression library)."""
    for folder in os.get_exec_path():
        path = os.path.join(folder, "python3")
        if folder and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return sys.executable
