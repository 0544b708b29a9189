"""Entry of the .pyz and of `python3 -m edgeform_device`; any Python 3 can parse it."""

import sys

if sys.version_info < (3, 8):  # noqa: UP036 - an old Python gets a sentence, not a trace
    print(
        '{"error": {"code": "python", "detail": "It is '
        + sys.version.split()[0]
        + '.", "hint": "Install Python 3.8 or newer on the device.", '
        '"summary": "Python is too old for the device tool."}, "ok": false}'
    )
    sys.exit(3)

# What must work when nothing else does starts from the verified file alone.
PLAIN = ("recover", "transact", "guard", "supervise", "run", "selftest", "enrol")

if sys.argv[0].endswith(".pyz") and not set(PLAIN) & set(sys.argv[1:]):
    from edgeform_device import bytecode

    bytecode.use(sys.argv[0])

from edgeform_device.cli import main  # noqa: E402 - only after it is known where from

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
