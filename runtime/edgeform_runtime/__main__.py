"""`python3 -s -m edgeform_runtime --prefix P --pipeline FILE --socket PATH [--shadow]`."""

import argparse
import os
import sys

from edgeform_runtime.daemon import Arguments, Daemon


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="edgeform_runtime", description="Run one pipeline until SIGTERM."
    )
    parser.add_argument("--prefix", required=True, help="where edgeform lives on this device")
    parser.add_argument("--pipeline", required=True, help="the pipeline file")
    parser.add_argument("--socket", required=True, help="the control socket to create")
    parser.add_argument(
        "--shadow", action="store_true", help="capture, act and report nothing; answer the socket"
    )
    parser.add_argument("--root", default="/", help="where /proc and /sys are")
    given = parser.parse_args()
    arguments = Arguments(
        prefix=os.path.abspath(given.prefix),
        pipeline=given.pipeline,
        socket=given.socket,
        is_shadow=given.shadow,
        root=given.root,
    )
    return Daemon(arguments, os.environ).run()


if __name__ == "__main__":
    sys.exit(main())
