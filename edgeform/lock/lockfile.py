"""`edgeform.lock` as a value: one line per entry, sorted, so that two branches rarely meet in one line."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgeform.diagnostics import Diagnostic
from edgeform.domain.artifacts import Lock, LockedArtifact, LockedFile, LockedSource, VersionRule
from edgeform.domain.bulk import without_gc
from edgeform.domain.names import Digest, ModelName
from edgeform.errors import SpecInvalid
from edgeform.lock import codes
from edgeform.shipped import shipped
from edgeform.spec import shape
from edgeform.spec.fields import Mapping as Fields
from edgeform.spec.fields import block, blocks, integer_or, number_or, text_or, texts
from edgeform.spec.nodes import Block, SourceFile, place_of
from edgeform.spec.read import read_bytes
from edgeform.spec.schema import Validator, validator_of
from edgeform_wire import canonical

SCHEMA = "edgeform.lock/1"
FILE_NAME = "edgeform.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRead:
    """What a lock file holds; `lock` is None where there are errors."""

    lock: Lock | None
    diagnostics: tuple[Diagnostic, ...] = ()

    def checked(self) -> Lock:
        """The lock.

        Raises:
            SpecInvalid: there is none, or it is damaged.
        """
        if self.lock is None:
            raise SpecInvalid(self.diagnostics)
        return self.lock


def read(path: Path) -> LockRead:
    """The lock of a file, or why there is none."""
    shown = str(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        hint = "Make it with\n    edgeform lock"
        return _broken(codes.MISSING.at(None, "There is no such file.", address=shown, hint=hint))
    except OSError as exc:
        return _broken(codes.BROKEN.at(None, f"{exc.strerror}.", address=shown))
    return read_text(content, shown)


def read_text(content: bytes, shown: str) -> LockRead:
    """The lock of a file's bytes. JSON is read as the YAML that it also is, for the positions."""
    with without_gc():
        try:
            json.loads(content)
        except (ValueError, RecursionError) as exc:
            return _broken(_not_json(content, shown, exc))
        reading = read_bytes(content, shown)
        root = reading.documents[0].value if len(reading.documents) == 1 else None
        if reading.diagnostics or not isinstance(root, Block):
            found = [_as_broken(problem) for problem in reading.diagnostics]
            place = reading.source.source(1, 1)
            return _broken(*found or [codes.BROKEN.at(place, "It is no JSON object.", hint=_AGAIN)])
        problems = shape.problems(_validator(), root, address="")
        if problems:
            return _broken(*(_as_broken(problem.diagnostic) for problem in problems))
        twice = tuple(_twice(root))
        return _broken(*twice) if twice else LockRead(lock=_decoded(root))


def _broken(*problems: Diagnostic) -> LockRead:
    return LockRead(lock=None, diagnostics=problems)


_AGAIN = "Make it again with\n    edgeform lock"
_CONFLICT = (b"<<<<<<<", b"=======", b">>>>>>>")


def _as_broken(problem: Diagnostic) -> Diagnostic:
    return codes.BROKEN.at(problem.source, problem.detail, address=problem.address, hint=_AGAIN)


def _not_json(content: bytes, shown: str, exc: Exception) -> Diagnostic:
    source = SourceFile(shown, content.decode("utf-8", "replace"))
    for number, line in enumerate(content.splitlines(), start=1):
        if line.startswith(_CONFLICT):
            detail = "A merge left its conflict marks."
            hint = "Take either side, then\n    edgeform lock"
            return codes.BROKEN.at(source.source(number, 1), detail, hint=hint)
    if isinstance(exc, json.JSONDecodeError):
        place = source.source(exc.lineno, exc.colno, 1)
        return codes.BROKEN.at(place, f"It is no JSON: {exc.msg}.", hint=_AGAIN)
    return codes.BROKEN.at(source.source(1, 1), "It is no JSON.", hint=_AGAIN)


@cache
def _validator() -> Validator:
    return validator_of(json.loads(shipped("schemas", "lock.schema.json").read_text("utf-8")))


def _twice(root: Block) -> Iterator[Diagnostic]:
    seen: set[tuple[str, ...]] = set()
    for kind, keys in (("models", ("model",)), ("artifacts", ("digest",))):
        for number, item in enumerate(blocks(root, kind)):
            key = (kind, *(text_or(item, k, "") for k in keys))
            if key in seen:
                detail = f"{key[1]} already stands in this file."
                yield codes.TWICE.at(place_of(root, (kind, number)), detail, hint=_AGAIN)
            seen.add(key)


def _decoded(root: Block) -> Lock:
    sources = tuple(_source(item) for item in blocks(root, "models"))
    return Lock(
        digest=Digest(canonical.digest_of(root)),
        artifacts=tuple(_artifact(item) for item in blocks(root, "artifacts")),
        versions=tuple((s.model, s.version) for s in sources),
        sources=sources,
    )


def _source(item: Fields) -> LockedSource:
    return LockedSource(
        model=ModelName(text_or(item, "model", "")),
        registry=text_or(item, "registry", ""),
        source=text_or(item, "source", ""),
        rule=VersionRule(text_or(item, "rule", "")),
        wanted=text_or(item, "wanted", ""),
        version=text_or(item, "version", ""),
        digest=Digest(text_or(item, "digest", "")),
        files=tuple(_file(file) for file in blocks(item, "files")),
    )


def _file(item: Fields) -> LockedFile:
    return LockedFile(
        path=text_or(item, "path", ""),
        size_bytes=integer_or(item, "size_bytes", 0),
        digest=Digest(text_or(item, "digest", "")),
    )


def _artifact(item: Fields) -> LockedArtifact:
    requires, measures = block(item, "requires"), block(item, "measures")
    return LockedArtifact(
        digest=Digest(text_or(item, "digest", "")),
        kind=text_or(item, "kind", ""),
        name=text_or(item, "name", ""),
        version=text_or(item, "version", ""),
        variant=text_or(item, "variant", ""),
        epoch=integer_or(item, "epoch", 0),
        size_bytes=integer_or(item, "size_bytes", 0),
        engine=text_or(item, "engine", ""),
        engine_version=text_or(item, "engine_version", ""),
        requires=tuple((key, text_or(requires, key, "")) for key in sorted(requires)),
        measures=tuple((key, number_or(measures, key, 0.0)) for key in sorted(measures)),
        derivation=_digest(item, "derivation"),
        request=_digest(item, "request"),
        extras=texts(item, "extras"),
        precision=text_or(item, "precision", ""),
    )


def _digest(item: Fields, key: str) -> Digest | None:
    found = text_or(item, key, "")
    return Digest(found) if found else None


def lock_of(sources: Iterable[LockedSource], artifacts: Iterable[LockedArtifact]) -> Lock:
    """A lock with its digest, everything sorted as in the file."""
    kept_sources = tuple(sorted(sources, key=lambda s: s.model))
    kept = tuple(sorted(artifacts, key=_order))
    value = _value(kept_sources, kept)
    return Lock(
        digest=Digest(canonical.digest_of(value)),
        artifacts=kept,
        versions=tuple((s.model, s.version) for s in kept_sources),
        sources=kept_sources,
    )


def rendered(lock: Lock) -> str:
    """The lock as its file has it."""
    value = _value(lock.sources, lock.artifacts)
    parts = [f'"schema":{json.dumps(SCHEMA)}']
    for key in ("models", "artifacts"):
        lines = ",\n".join(canonical.encode(item).decode() for item in value[key])
        parts.append(f'"{key}":[\n{lines}\n]' if lines else f'"{key}":[]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def write(path: Path, lock: Lock) -> None:
    """Write the lock whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(rendered(lock), encoding="utf-8")
    temporary.replace(path)


def _value(
    sources: Iterable[LockedSource], artifacts: Iterable[LockedArtifact]
) -> Mapping[str, Any]:
    return {
        "schema": SCHEMA,
        "models": [_source_value(s) for s in sources],
        "artifacts": [
            {
                "digest": a.digest,
                "kind": a.kind,
                "name": a.name,
                "version": a.version,
                "variant": a.variant,
                "epoch": a.epoch,
                "size_bytes": a.size_bytes,
                "engine": a.engine,
                "engine_version": a.engine_version,
                "requires": dict(a.requires),
                "measures": dict(a.measures),
                **_built(a),
                # Left out where there are none, so that older locks keep their digests.
                **({"extras": list(a.extras)} if a.extras else {}),
                **({"precision": a.precision} if a.precision else {}),
            }
            for a in artifacts
        ],
    }


def _source_value(source: LockedSource) -> dict[str, Any]:
    value = {
        "model": source.model,
        "registry": source.registry,
        "source": source.source,
        "rule": str(source.rule),
        "wanted": source.wanted,
        "version": source.version,
        "digest": source.digest,
    }
    if not source.files:
        return value  # a lock from before files were listed keeps its digest
    files = [{"path": f.path, "size_bytes": f.size_bytes, "digest": f.digest} for f in source.files]
    return value | {"files": files}


def _built(artifact: LockedArtifact) -> Mapping[str, str]:
    """What only a variant has that a recipe built."""
    named = {"derivation": artifact.derivation, "request": artifact.request}
    return {key: digest for key, digest in named.items() if digest is not None}


def _order(artifact: LockedArtifact) -> tuple[str, ...]:
    return (artifact.kind, artifact.name, artifact.version, artifact.variant, artifact.digest)
