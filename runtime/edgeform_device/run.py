"""What a pipeline's process is: the interpreter, the closure's path, and the pipeline file it reads."""

import os
import shutil
import sys
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Tuple

from edgeform_device import generations
from edgeform_device.durable import Disk
from edgeform_device.errors import Corrupt, Refused
from edgeform_device.layout import Layout
from edgeform_wire import pipeline
from edgeform_wire.errors import WireError


@dataclass(frozen=True)
class Process:
    """A command and its whole environment."""

    arguments: Tuple[str, ...]
    environment: Dict[str, str]


def run_argv(
    disk: Disk,
    layout: Layout,
    name: str,
    environ: Mapping[str, str],
    *,
    generation: Optional[int] = None,
    is_shadow: bool = False,
) -> Process:
    """The process of a pipeline, of the current generation unless another is named.

    Raises:
        Refused: there is no current generation, or it has no such pipeline.
        Corrupt: the pipeline file is damaged.
    """
    number = generation if generation is not None else generations.current(disk, layout)
    if number is None:
        raise Refused("This device has no generation, so there is nothing to run.")
    path = layout.pipeline_file(number, name)
    content = disk.read(path)
    if content is None:
        raise Refused(f"Generation {number} has no pipeline {name!r}.")
    try:
        file = pipeline.decode(content)
    except WireError as exc:
        raise Corrupt(f"The pipeline file {path} is damaged.", str(exc)) from exc
    tree = layout.under(file.runtime_tree)
    arguments = [
        interpreter(tree),
        "-s",
        "-m",
        "edgeform_runtime",
        "--prefix",
        layout.prefix,
        "--pipeline",
        os.path.relpath(path, layout.prefix),
        "--socket",
        layout.socket(name, is_shadow=is_shadow),
    ]
    if is_shadow:
        arguments.append("--shadow")
    return Process(tuple(arguments), _environment(environ, os.path.join(tree, "lib")))


def interpreter(tree: str) -> str:
    """The closure's own interpreter if it brings one, else the device's."""
    own = os.path.join(tree, "bin", "python3")
    return own if os.path.exists(own) else shutil.which("python3") or sys.executable


def _environment(environ: Mapping[str, str], lib: str) -> Dict[str, str]:
    """Ours without whatever the caller's session would change in a Python program."""
    kept = {k: v for k, v in environ.items() if not k.startswith(("PYTHON", "LD_"))}
    # Trees are read-only and verified; a .pyc written beside a module would be drift.
    return dict(kept, PYTHONPATH=lib, PYTHONDONTWRITEBYTECODE="1")
