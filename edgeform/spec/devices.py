"""Device entries and everything below them, merged, expanded and decoded into `Device`s.

What many devices share (their class, the overlays they get, their list) is merged and decoded once;
positions and provenance are looked up only when somebody asks (`provenance`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeform.diagnostics import Source
from edgeform.domain.hardware import HardwareClass
from edgeform.domain.names import DeviceName, is_name
from edgeform.domain.site import Device, SecretRef
from edgeform.spec import codes_site as ef
from edgeform.spec import decode_device, fields, shape
from edgeform.spec.classes import Classes
from edgeform.spec.expand import BadReference, Scope, expanded, expanded_text
from edgeform.spec.merge import merge, merged
from edgeform.spec.nodes import Block, Items, Scalar, Value, dotted
from edgeform.spec.nodes import Path as NodePath
from edgeform.spec.objects import Catalog, Object
from edgeform.spec.pipelines import Pipelines
from edgeform.spec.provenance import DeviceOrigin, Overlay, Provenance
from edgeform.spec.report import Report
from edgeform.spec.schema import validator
from edgeform.spec.selector import Candidate

MAX_EACH = 10_000
_SHARED_KEYS = ("name", "each", "class", "labels")
_NO_PROBLEMS: tuple[NodePath, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Base:
    """What the devices of one list, class and set of overlays share."""

    value: Block
    hardware: HardwareClass | None = None


@dataclass(slots=True, kw_only=True)
class Devices:
    """Builds the devices of a site; what goes wrong goes to `report`."""

    catalog: Catalog
    classes: Classes
    pipelines: Pipelines
    provenance: Provenance
    report: Report
    site: Object
    site_folder: Path
    site_values: dict[str, Scalar]
    overlays: tuple[Overlay, ...]
    used_overlays: set[int] = field(default_factory=set)
    _bases: dict[tuple[str, tuple[int, ...], int], _Base] = field(default_factory=dict)
    _seen: dict[str, DeviceOrigin] = field(default_factory=dict)

    def all(self) -> tuple[Device, ...]:
        """Every device that could be built, in the order of files and entries."""
        return tuple(
            device
            for device_list in self.catalog.of("DeviceList")
            if not _is_broken(device_list)
            for device in self._of_list(device_list)
        )

    def _of_list(self, device_list: Object) -> Iterator[Device]:
        common = fields.block(device_list.spec, "common")
        for number, entry in enumerate(fields.items(device_list.spec, "devices")):
            if not isinstance(entry, Block) or _is_refused(device_list, number):
                continue
            for n in self._each(device_list, number, entry):
                device = self._device(device_list, common, number, entry, n)
                if device is not None:
                    yield device

    def _each(self, device_list: Object, number: int, entry: Block) -> Iterator[str | None]:
        each = entry.get("each")
        if not isinstance(each, dict):
            yield None
            return
        path: NodePath = ("spec", "devices", number)
        written = each.get("n")
        if isinstance(written, list):
            values: Sequence[str] = [str(item) for item in written]
        else:
            first, _, last = str(written).partition("..")
            count = int(last) - int(first) + 1
            if not 0 < count <= MAX_EACH:
                source = device_list.place((*path, "each", "n"))
                detail = (
                    f"{written!r} stands for {max(count, 0):,} devices; 1 to {MAX_EACH:,} can be."
                )
                self.report.add(ef.BAD_RANGE.at(source, detail, address=device_list.address))
                return
            values = [str(i).zfill(len(first)) for i in range(int(first), int(last) + 1)]
        if "${n}" not in str(entry.get("name")):
            source = device_list.place((*path, "name"))
            detail = f"The name of {len(values)} devices must hold ${{n}}."
            self.report.add(ef.BAD_RANGE.at(source, detail, address=device_list.address))
            return
        yield from values

    def _device(
        self,
        device_list: Object,
        common: dict[str, Value],
        number: int,
        entry: Block,
        n: str | None,
    ) -> Device | None:
        name = str(entry.get("name"))
        if "${" in name:
            try:
                name = str(expanded_text(name, Scope(site=self.site_values, n=n)))
            except BadReference as exc:
                self._refuse_name(device_list, number, exc.detail, exc.hint)
                return None
        if not is_name(name):
            hint = "A name begins and ends with a letter or digit, and has at most 63 characters."
            self._refuse_name(device_list, number, f"{name!r} cannot name a device.", hint)
            return None
        class_name = str(entry.get("class") or common.get("class") or "")
        origin = DeviceOrigin(
            device_list=device_list, number=number, n=n, class_name=class_name, overlays=()
        )
        if name in self._seen:
            first = self._seen[name].place
            detail = f"There already is a device {name!r}{f', at {first}' if first else ''}."
            source = device_list.place(("spec", "devices", number, "name"))
            self.report.add(ef.DUPLICATE_NAME.at(source, detail, address=f"devices.{name}"))
            return None
        self._seen[name] = origin
        if not self._has_class(origin, name):
            return None
        if self.overlays:
            labels = fields.block(common, "labels") | fields.block(entry, "labels")
            seen = Candidate(
                name=name,
                labels={key: value for key, value in labels.items() if isinstance(value, str)},
                classes=self.classes.names_of(class_name),
            )
            matching = tuple(i for i, o in enumerate(self.overlays) if o.selector.matches(seen))
            self.used_overlays.update(matching)
            origin = DeviceOrigin(
                device_list=device_list,
                number=number,
                n=n,
                class_name=class_name,
                overlays=matching,
            )
            self._seen[name] = origin
        self.provenance.origins[name] = origin
        base = self._base(origin, common)
        value = merge(base.value, entry)
        assert isinstance(value, Block)  # noqa: S101 - an entry is a Block
        problems_before = self.report.errors
        if value.is_dynamic:
            value = self._expanded(value, name, n)
            if self.report.errors > problems_before:
                return None
        return self._decoded(value, base, name, entry)

    def _has_class(self, origin: DeviceOrigin, name: str) -> bool:
        address = f"devices.{name}"
        if not origin.class_name:
            detail = "The device has no hardware class."
            hint = "Add for example\n    class: builtin/linux-x86_64"
            self.report.add(
                ef.INCOMPLETE.at(origin.name_place(), detail, address=address, hint=hint)
            )
            return False
        if self.classes.find(origin.class_name) is None:
            if not self.catalog.is_partial:
                source = origin.class_place()
                self.report.add(self.classes.unknown(origin.class_name, source, address))
            return False
        return self.classes.lineage(origin.class_name) is not None

    def _refuse_name(self, device_list: Object, number: int, detail: str, hint: str) -> None:
        source = device_list.place(("spec", "devices", number, "name"))
        problem = ef.BAD_REFERENCE if "${" in detail else ef.UNFIT_AFTER_MERGE
        self.report.add(problem.at(source, detail, address=device_list.address, hint=hint))

    def _base(self, origin: DeviceOrigin, common: dict[str, Value]) -> _Base:
        key = (origin.class_name, origin.overlays, id(origin.device_list))
        found = self._bases.get(key)
        if found is None:
            layers: list[Value] = [
                self.classes.value(origin.class_name),
                self.site.spec.get("defaults"),
                *(self.overlays[i].patch for i in origin.overlays),
                common,
            ]
            found = _Base(value=merged(layers))
            self._bases[key] = found
        return found

    def _expanded(self, value: Block, name: str, n: str | None) -> Block:
        """The device with every `${...}` replaced, part by part: labels, connect, vars, the rest."""

        def refuse(path: NodePath, exc: BadReference) -> None:
            source = self.provenance.place(name, path)
            address = f"devices.{name}.{dotted(path)}"
            self.report.add(ef.BAD_REFERENCE.at(source, exc.detail, address=address, hint=exc.hint))

        def part(key: str, scope: Scope) -> None:
            found = result.get(key)
            if isinstance(found, (Block, Items, str)):
                result[key] = expanded(found, scope, refuse, (key,))

        result = Block((key, item) for key, item in value.items() if key not in ("name", "each"))
        about: dict[str, Scalar] = {"name": name, "class": str(value.get("class"))}
        site = self.site_values
        part("labels", Scope(site=site, device=about, n=n))
        about |= {
            key: item
            for key, item in fields.block(result, "labels").items()
            if isinstance(item, str)
        }
        part("vars", Scope(site=site, device=about, n=n))
        own = {
            key: item
            for key, item in fields.block(result, "vars").items()
            if not isinstance(item, (dict, list))
        }
        part("connect", Scope(site=site, device=about, vars=own, n=n))
        host = fields.block(result, "connect").get("host")
        if isinstance(host, str):
            about["host"] = host
        rest = Scope(site=site, device=about, vars=own, n=n)
        for key in ("secrets", "pipelines", "prefix", "transaction", "hardware"):
            part(key, rest)
        self._prove(result, name)
        return result

    def _prove(self, value: Block, name: str) -> None:
        """Check again what `${...}` changed: a variable may hold what its place cannot take."""
        checked = Block((key, item) for key, item in value.items() if key not in _SHARED_KEYS)
        for problem in shape.problems(
            validator("device_patch"), checked, address=f"devices.{name}"
        ):
            source = self.provenance.place(name, problem.path)
            self.report.add(
                ef.UNFIT_AFTER_MERGE.at(
                    source,
                    problem.diagnostic.detail,
                    address=problem.diagnostic.address,
                    hint=problem.diagnostic.hint,
                )
            )

    def _decoded(self, value: Block, base: _Base, name: str, entry: Block) -> Device | None:
        hardware = self._hardware(value, base, name)
        connect = decode_device.connect(fields.block(value, "connect"), self.site_folder)
        if connect.mode == "ssh" and not connect.host:
            detail = "A device that is reached by ssh needs connect.host."
            source = self._seen[name].name_place()
            hint = "Write connect: {host: ADDRESS}, or connect: {mode: offline} for a USB stick."
            self.report.add(
                ef.INCOMPLETE.at(source, detail, address=f"devices.{name}.connect", hint=hint)
            )
            return None
        if hardware is None:
            return None
        secrets = self._secrets(value, name)
        pipelines = self.pipelines.of_device(name, value, self.site_values, hardware, secrets)
        settings = fields.block(value, "transaction")
        line, column = entry.start_place
        shown = entry.source.shown if entry.source else ""
        return Device(
            name=DeviceName(name),
            hardware=hardware,
            connect=connect,
            labels=tuple(
                sorted(
                    (key, item)
                    for key, item in fields.block(value, "labels").items()
                    if isinstance(item, str)
                )
            ),
            pipelines=pipelines,
            secrets=tuple(sorted(secrets.items())),
            prefix=fields.text_or(value, "prefix", "/var/lib/edgeform"),
            confirm=fields.text_or(settings, "confirm", "controller"),
            confirm_s=fields.number_or(settings, "confirm_s", 60.0),
            deadline_s=fields.number_or(settings, "deadline_s", 300.0),
            soak_s=fields.number_or(settings, "soak_s", 2.0),
            keep_generations=fields.integer_or(settings, "keep_generations", 3),
            require_clock=fields.boolean_or(settings, "require_clock", default=False),
            unsigned_receipts=fields.boolean_or(settings, "unsigned_receipts", default=True),
            address=f"{shown}:{line}:{column}",
        )

    def _hardware(self, value: Block, base: _Base, name: str) -> HardwareClass | None:
        written = fields.block(value, "hardware")
        is_shared = written is base.value.get("hardware")
        if is_shared and base.hardware is not None:
            return base.hardware
        class_name = self._seen[name].class_name
        lacking = decode_device.lacking(written)
        if lacking:
            detail = f"Hardware class {class_name!r} gives no {' and no '.join(lacking)}."
            source = self.classes_place(class_name)
            hint = "Let it extend a builtin class, as\n    extends: builtin/linux-x86_64"
            address = f"HardwareClass {class_name}"
            self.report.add(ef.INCOMPLETE.at(source, detail, address=address, hint=hint))
            return None
        found = decode_device.hardware(class_name, self.classes.names_of(class_name), written)
        if is_shared:
            base.hardware = found
        return found

    def classes_place(self, class_name: str) -> Source | None:
        found = self.classes.find(class_name)
        return found.place() if found else None

    def _secrets(self, value: Block, name: str) -> dict[str, SecretRef]:
        written = fields.block(value, "secrets")
        found = {}
        for key in written:
            ref = fields.secret(written, key)
            if ref is not None:
                found[key] = ref
                self._check_provider(ref, name, ("secrets", key, "secret"))
        password = fields.secret(fields.block(value, "connect"), "sudo_password")
        if password is not None:
            self._check_provider(password, name, ("connect", "sudo_password", "secret"))
        return found

    def _check_provider(self, ref: SecretRef, name: str, path: NodePath) -> None:
        problem = secret_problem(ref)
        if problem:
            source = self.provenance.place(name, path)
            address = f"devices.{name}.{dotted(path)}"
            self.report.add(
                ef.SECRET_PROVIDER.at(source, problem[0], address=address, hint=problem[1])
            )


PROVIDERS = ("env", "file")
PLANNED_PROVIDERS = ("vault",)


def secret_problem(ref: SecretRef) -> tuple[str, str] | None:
    """What is wrong with a reference to a secret, and what to do."""
    if ref.provider in PLANNED_PROVIDERS:
        return f"Provider {ref.provider!r} is planned, and not in this version.", "Use env or file."
    if ref.provider not in PROVIDERS:
        hint = shape.nearest(ref.provider, PROVIDERS) or "Known: env/NAME, file/path#key."
        return f"No provider is called {ref.provider!r}.", hint
    if ref.provider == "env" and (ref.key is not None or not ref.path.isidentifier()):
        return f"{ref.path!r} cannot be the name of an environment variable.", "Write env/NAME."
    return None


def _is_broken(device_list: Object) -> bool:
    """Whether the list as a whole cannot be used (one broken entry does not break the others)."""
    return any(path[:2] != ("spec", "devices") or len(path) < 3 for path in device_list.broken)


def _is_refused(device_list: Object, number: int) -> bool:
    return any(path[:3] == ("spec", "devices", number) for path in device_list.broken)
