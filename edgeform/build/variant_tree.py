"""The files of a built variant: what the recipe gave, and what belongs beside it."""

import shutil
from pathlib import Path

from edgeform.build.failure import ModelUnusable
from edgeform.build.recipes import Made, copy_files
from edgeform_runtime import onnxfile


def assembled(made: Made, beside: Path, include: tuple[str, ...], folder: Path) -> Path:
    """A folder with the recipe's files and those of the source's folder that the site includes.

    Raises:
        ModelUnusable: an included file is not there, or is a link.
    """
    copy_files(made.folder, folder)
    add_included(beside, include, folder)
    return folder


def alone(source: Path, include: tuple[str, ...], folder: Path) -> None:
    """A folder with the source model, the weights it keeps in other files, and what the site includes.

    Raises:
        ModelUnusable: an included file is not there, or is a link.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, folder / source.name)
    elsewhere = onnxfile.read(str(source)).external if source.suffix == ".onnx" else ()
    add_included(source.parent, (*sorted(elsewhere), *include), folder)


def add_included(beside: Path, include: tuple[str, ...], folder: Path) -> None:
    """Copy the included files.

    Raises:
        ModelUnusable: one is not there, or is a link.
    """
    for name in include:
        source = beside.joinpath(*name.split("/"))
        if not source.is_file() or source.is_symlink():
            raise ModelUnusable(
                f"`include` names {name}, which is not beside the source model.",
                address=str(beside),
                hint="Correct the name, or leave it out.",
            )
        target = folder.joinpath(*name.split("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
