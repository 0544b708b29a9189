"""Which layer says what about a device, and where: computed when asked, for one device at a time."""

from dataclasses import dataclass, field

from edgeform.diagnostics import Position, Source
from edgeform.spec.classes import Classes
from edgeform.spec.merge import Layer, Origin, origins
from edgeform.spec.nodes import Block, Path, place_of
from edgeform.spec.objects import Catalog, Object
from edgeform.spec.selector import Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """An overlay of the site, ready to be matched."""

    name: str
    selector: Selector
    patch: Block
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOrigin:
    """Where a device comes from: its list, entry, class and the overlays it gets (by number)."""

    device_list: Object
    number: int
    n: str | None
    class_name: str
    overlays: tuple[int, ...]

    @property
    def path(self) -> Path:
        return ("spec", "devices", self.number)

    @property
    def place(self) -> Position | None:
        source = self.name_place()
        return source.position if source else None

    def name_place(self) -> Source | None:
        return self.device_list.place((*self.path, "name"))

    def class_place(self) -> Source | None:
        own = (*self.path, "class")
        entry = self.device_list.spec
        if isinstance(entry.get("common"), dict) and not _has(self.device_list, own):
            return self.device_list.place(("spec", "common", "class"))
        return self.device_list.place(own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Answers where a value of a device was written.

    Args:
        origins: by device name.
    """

    catalog: Catalog
    classes: Classes
    site: Object | None
    overlays: tuple[Overlay, ...] = ()
    origins: dict[str, DeviceOrigin] = field(default_factory=dict)

    def layers(self, device: str) -> tuple[Layer, ...]:
        """The layers above the class that a device is merged from, lowest first."""
        origin = self.origins[device]
        layers = []
        if self.site is not None:
            layers.append(
                Layer(name="site defaults", root=self.site.root, below=("spec", "defaults"))
            )
            layers += [
                Layer(
                    name=f"overlay {self.overlays[i].name}",
                    root=self.site.root,
                    below=("spec", "overlays", self.overlays[i].number, "patch"),
                )
                for i in origin.overlays
            ]
        root = origin.device_list.root
        name = origin.device_list.name
        layers.append(Layer(name=f"common of {name}", root=root, below=("spec", "common")))
        layers.append(Layer(name=f"device {device}", root=root, below=origin.path))
        return tuple(layers)

    def of(self, device: str, path: Path) -> tuple[Origin, ...]:
        """What each layer says at a path of the device, highest first.

        Named lists are walked by name: `("pipelines", "gate", "vars", "camera")`.
        """
        if device not in self.origins:
            return ()
        found = list(origins(self.layers(device), path))
        below = path[1:] if path[:1] == ("hardware",) else ("device", *path)
        found += origins(self.classes.layers(self.origins[device].class_name), below)
        if len(path) == 4 and path[0] == "pipelines" and path[2] == "vars":
            found += self.of(device, path[2:])
            found += self._declared(device, str(path[1]), str(path[3]))
        return tuple(found)

    def _declared(self, device: str, pipeline: str, variable: str) -> list[Origin]:
        named = self.of(device, ("pipelines", pipeline, "pipeline"))
        name = str(named[0].value) if named else pipeline
        found = self.catalog.get("Pipeline", name)
        if found is None:
            return []
        layer = Layer(name=f"default of pipeline {name}", root=found.root, below=("spec", "vars"))
        return list(origins((layer,), (variable, "default")))

    def place(self, device: str, path: Path) -> Source | None:
        """Where the value at a path of the device was written; its entry if nowhere else."""
        for end in range(len(path), 0, -1):
            found = self.of(device, path[:end])
            if found and found[0].source is not None:
                return found[0].source
        origin = self.origins.get(device)
        return origin.name_place() if origin else None


def _has(found: Object, path: Path) -> bool:
    return place_of(found.root, path[:-1]) is not None and _value(found, path) is not None


def _value(found: Object, path: Path) -> object:
    value: object = found.root
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
    return value
