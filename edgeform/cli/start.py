"""Where the program begins: `edgeform --help` answers from a file, everything else goes to `cli.main`.

Importing click takes four fifths of the time that `--help` would take, and the text never depends on anything
but the width of the terminal. `docs/generate.py help` writes the file; a test compares it with click's own.
"""

import os
import sys

WIDTH = 80
"""Of the text in the file; click wraps to fewer columns on a narrower terminal, so that goes to click."""


def main() -> None:
    """Run the command line and exit the process with its code."""
    if (
        sys.argv[1:] in (["--help"], ["-h"])
        and _is_wide()
        and "_EDGEFORM_COMPLETE" not in os.environ
    ):
        with open(os.path.join(os.path.dirname(__file__), "help.txt"), encoding="utf-8") as file:  # noqa: PTH118, PTH120, PTH123 - pathlib takes longer to import than all this
            text = file.read()
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except (BrokenPipeError, UnicodeEncodeError):
            pass
        else:
            return
    from edgeform.cli.main import main as run  # noqa: PLC0415 - the point of this module

    run()


def _is_wide() -> bool:
    """As click and shutil ask: COLUMNS first, then the terminal; none is as wide as one likes."""
    columns = os.environ.get("COLUMNS", "")
    if columns:
        return columns.isdigit() and int(columns) >= WIDTH
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns >= WIDTH  # type: ignore[union-attr]  # None raises AttributeError
    except (OSError, ValueError, AttributeError):
        return True
