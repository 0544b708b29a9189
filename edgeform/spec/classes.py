"""Hardware classes and what they extend: the site's own first, edgeform's own as `builtin/NAME`."""

from functools import cache
from importlib import resources

from edgeform.diagnostics import Diagnostic, Source
from edgeform.spec import codes_site as ef
from edgeform.spec.merge import Layer, merged
from edgeform.spec.nodes import Block, Value
from edgeform.spec.objects import Catalog, Object, object_of
from edgeform.spec.read import read_bytes

BUILTIN = "builtin/"
_NOT_HARDWARE = ("extends", "device")


@cache
def builtin_names() -> tuple[str, ...]:
    """`builtin/NAME` of every hardware class that edgeform ships."""
    folder = resources.files("edgeform.spec").joinpath("builtin")
    found = (f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
    return tuple(sorted(BUILTIN + name for name in found))


@cache
def builtin_content(name: str) -> bytes:
    """The file of a builtin class."""
    file = resources.files("edgeform.spec").joinpath(
        "builtin", f"{name.removeprefix(BUILTIN)}.yaml"
    )
    return file.read_bytes()


@cache
def _builtin(name: str) -> Object:
    reading = read_bytes(builtin_content(name), f"{name}.yaml")
    found = object_of(reading.documents[0], frozenset())
    assert found is not None  # noqa: S101 - a test proves every builtin class
    return found


class Classes:
    """Finds classes by name and folds what they extend; every problem is reported once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lineages: dict[str, tuple[Object, ...] | None] = {}
        self._layers: dict[str, Block] = {}

    def find(self, name: str) -> Object | None:
        if name.startswith(BUILTIN):
            return _builtin(name) if name in builtin_names() else None
        return self._catalog.get("HardwareClass", name)

    def unknown(self, name: str, source: Source | None, address: str) -> Diagnostic:
        """That there is no such class; a forgotten `builtin/` is guessed."""
        if BUILTIN + name in builtin_names():
            problem = self._catalog.missing("HardwareClass", name, source, address)
            return ef.UNKNOWN_REFERENCE.at(
                source, problem.detail, address=address, hint=f"Did you mean '{BUILTIN}{name}'?"
            )
        builtin = builtin_names() if name.startswith(BUILTIN) else ()
        return self._catalog.missing("HardwareClass", name, source, address, among=builtin)

    def lineage(self, name: str) -> tuple[Object, ...] | None:
        """The class and what it extends, nearest first; None where the chain is broken."""
        if name not in self._lineages:
            self._lineages[name] = self._followed(name)
        return self._lineages[name]

    def _followed(self, name: str) -> tuple[Object, ...] | None:
        chain: list[Object] = []
        seen: list[str] = []
        current: Value = name
        while isinstance(current, str):
            found = self.find(current)
            if current in seen:
                self._report(_circle(chain[seen.index(current) :]))
                return None
            if found is None:
                if chain and not self._catalog.is_partial:
                    last = chain[-1]
                    source = last.place(("spec", "extends"))
                    self._report(self.unknown(current, source, last.address))
                return None
            if not found.is_sound:
                return None
            seen.append(current)
            chain.append(found)
            current = found.spec.get("extends")
        return tuple(chain)

    def _report(self, problem: Diagnostic) -> None:
        if problem not in self._catalog.problems:
            self._catalog.problems.append(problem)

    def layers(self, name: str) -> tuple[Layer, ...]:
        """The class and what it extends as layers of a device, lowest first."""
        lineage = self.lineage(name) or ()
        return tuple(
            Layer(name=f"class {_shown(found, name)}", root=found.root, below=("spec",))
            for found in reversed(lineage)
        )

    def value(self, name: str) -> Block:
        """What the class gives to its devices: `hardware`, and the lowest layer of everything else."""
        if name not in self._layers:
            specs = [found.spec for found in reversed(self.lineage(name) or ())]
            folded = merged([_as_patch(spec) for spec in specs])
            self._layers[name] = folded
        return self._layers[name]

    def names_of(self, name: str) -> tuple[str, ...]:
        """The names in a class's lineage, nearest first."""
        lineage = self.lineage(name) or ()
        return tuple(
            name if n == 0 else str(lineage[n - 1].spec.get("extends")) for n in range(len(lineage))
        )


def _circle(chain: list[Object]) -> Diagnostic:
    """The circle, told from its first name on, so that it is told once."""
    first = min(range(len(chain)), key=lambda n: chain[n].name)
    turned = [*chain[first:], *chain[:first]]
    text = " -> ".join(found.name for found in (*turned, turned[0]))
    source = turned[0].place(("spec", "extends"))
    return ef.CYCLE.at(source, f"{text}.", address=turned[0].address)


def _shown(found: Object, asked: str) -> str:
    return asked if asked.removeprefix(BUILTIN) == found.name else found.name


def _as_patch(spec: Block) -> Block:
    hardware = Block((key, value) for key, value in spec.items() if key not in _NOT_HARDWARE)
    hardware.has_null = spec.has_null
    hardware.is_dynamic = spec.is_dynamic
    patch = Block()
    device = spec.get("device")
    if isinstance(device, dict):
        patch.update(device)
    patch["hardware"] = hardware
    patch.has_null = spec.has_null
    patch.is_dynamic = spec.is_dynamic
    return patch
