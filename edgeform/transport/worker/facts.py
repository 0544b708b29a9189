"""What the provision lane asks a device before it changes anything, as pyinfra facts."""

from collections.abc import Iterable

from pyinfra.api import FactBase, QuoteString, StringCommand

MODULE_SCRIPT = """
for m in "$@"; do
  n=$(printf %s "$m" | tr - _)
  if [ -d "/sys/module/$n" ]; then echo "$m"
  elif tr - _ < "/lib/modules/$(uname -r)/modules.builtin" 2>/dev/null | grep -q "/$n\\.ko$"; then echo "$m"
  fi
done
"""

DEBS_SCRIPT = """
for f in "$1"/*.deb; do
  [ -e "$f" ] || continue
  dpkg-deb -W --showformat='${Package}\\t${Version}\\t' "$f" && printf '%s\\n' "$f"
done
"""


def script(text: str, *words: str) -> StringCommand:
    """A shell script with its words quoted; always succeeds where it only asks."""
    return StringCommand(
        "sh", "-c", QuoteString(text), "sh", *(QuoteString(word) for word in words)
    )


class HasDpkg(FactBase[bool]):
    """Whether this is a system of Debian packages."""

    default = bool

    def command(self) -> str:
        return "command -v dpkg apt-get >/dev/null && echo yes || echo no"

    def process(self, output: Iterable[str]) -> bool:
        return list(output) == ["yes"]


class HeldPackages(FactBase[list[str]]):
    """Packages that apt is told to leave alone."""

    default = list

    def command(self) -> str:
        return "apt-mark showhold"

    def process(self, output: Iterable[str]) -> list[str]:
        return [line.strip() for line in output]


class DebFiles(FactBase[dict[str, tuple[str, str]]]):
    """Package -> (version, path) for the .deb files of a directory on the device."""

    default = dict

    def command(self, directory: str) -> StringCommand:
        return script(DEBS_SCRIPT, directory)

    def process(self, output: Iterable[str]) -> dict[str, tuple[str, str]]:
        found = (line.split("\t") for line in output)
        return {words[0]: (words[1], words[2]) for words in found if len(words) == 3}


class ModulesPresent(FactBase[list[str]]):
    """Those of the named kernel modules that are loaded or built in."""

    default = list

    def command(self, modules: list[str]) -> StringCommand:
        return script(MODULE_SCRIPT, *modules)

    def process(self, output: Iterable[str]) -> list[str]:
        return list(output)


class FileText(FactBase[str | None]):
    """A small text file whole; None if there is none."""

    @staticmethod
    def default() -> None:
        return None

    def command(self, path: str) -> StringCommand:
        # The last line keeps apart a file without a line break at its end, an empty one and none.
        return script('[ -e "$1" ] || exit 0; cat "$1"; echo; echo .', path)

    def process(self, output: Iterable[str]) -> str:
        return "\n".join(list(output)[:-1])


class SysctlValues(FactBase[dict[str, str]]):
    """The live values of kernel parameters; those that do not exist are missing."""

    default = dict

    def command(self, keys: list[str]) -> StringCommand:
        return script(
            'for k in "$@"; do v=$(sysctl -n "$k" 2>/dev/null) && echo "$k=$v"; done; true', *keys
        )

    def process(self, output: Iterable[str]) -> dict[str, str]:
        pairs = (line.partition("=") for line in output)
        return {key: " ".join(value.split()) for key, _, value in pairs}


class HasUdev(FactBase[bool]):
    """Whether udev runs; in a container it does not."""

    default = bool

    def command(self) -> str:
        return "[ -e /run/udev/control ] && command -v udevadm >/dev/null && echo yes || echo no"

    def process(self, output: Iterable[str]) -> bool:
        return list(output) == ["yes"]
