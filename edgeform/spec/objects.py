"""The objects of a site by kind and name, as they stand in files: nothing merged, nothing decoded."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from edgeform.diagnostics import Diagnostic, Source
from edgeform.spec import codes_site as ef
from edgeform.spec.nodes import Block, Path, Value, place_of
from edgeform.spec.read import Document
from edgeform.spec.shape import nearest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Object:
    """One object of a file. `broken` holds the paths below `spec` that the schema refused."""

    kind: str
    name: str
    root: Block
    broken: frozenset[Path] = frozenset()
    is_sound: bool = True

    @property
    def spec(self) -> Block:
        found = self.root.get("spec")
        return found if isinstance(found, Block) else Block()

    def place(self, path: Path = ("metadata", "name"), *, key: bool = False) -> Source | None:
        """Where something in the object stands; its name without a path."""
        return place_of(self.root, path, key=key)

    @property
    def address(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(slots=True, kw_only=True)
class Catalog:
    """Every object of a site.

    Args:
        is_partial: a file could not be read whole, so a missing object may stand in it: unknown names
            are then not reported.
    """

    objects: dict[str, dict[str, Object]] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)
    is_partial: bool = False

    def add(self, found: Object) -> None:
        """Take an object in; the second of one name is reported and left out."""
        named = self.objects.setdefault(found.kind, {})
        first = named.get(found.name)
        if first is not None:
            place = first.place()
            where = f" The first stands at {place.position}." if place else ""
            detail = f"There already is a {found.kind} {found.name!r}.{where}"
            self.problems.append(ef.DUPLICATE_NAME.at(found.place(), detail, address=found.address))
            return
        named[found.name] = found

    def of(self, kind: str) -> Iterator[Object]:
        return iter(self.objects.get(kind, {}).values())

    def get(self, kind: str, name: str) -> Object | None:
        return self.objects.get(kind, {}).get(name)

    def names(self, kind: str) -> tuple[str, ...]:
        return tuple(self.objects.get(kind, {}))

    def missing(
        self,
        kind: str,
        name: str,
        source: Source | None,
        address: str,
        *,
        among: tuple[str, ...] = (),
    ) -> Diagnostic:
        """That nothing of this kind has the name."""
        known = (*self.names(kind), *among)
        listed = f"There are: {', '.join(sorted(known)[:12])}." if known else ""
        hint = nearest(name, known) or listed
        return ef.UNKNOWN_REFERENCE.at(
            source, f"No {_WORDS.get(kind, kind)} is called {name!r}.", address=address, hint=hint
        )


_WORDS = {
    "HardwareClass": "hardware class",
    "Model": "model",
    "Pipeline": "pipeline",
    "CheckSuite": "check suite",
    "Rollout": "rollout",
    "Registry": "registry",
}


def object_of(document: Document, broken: frozenset[Path]) -> Object | None:
    """The object of a document, when kind and name can be made out at all."""
    root = document.value
    if not isinstance(root, Block):
        return None
    kind, metadata = root.get("kind"), root.get("metadata")
    name: Value = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(kind, str) or not isinstance(name, str):
        return None
    return Object(kind=kind, name=name, root=root, broken=broken, is_sound=not broken)
