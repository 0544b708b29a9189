"""What was built already: derivation -> artifact, one small file each, written whole or not at all.

A record counts only while its artifact is wholly in the store; so a record can come before or after anything
else without ever naming what is not there.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeform.store.artifacts import Artifacts
from edgeform.store.objects import sync_directory
from edgeform_wire import canonical
from edgeform_wire import digest as digests
from edgeform_wire.errors import WireError

SCHEMA = "edgeform.built/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A derivation that was built.

    Args:
        document: the derivation itself, whose canonical JSON has its digest. subject: model and variant.
        artifact: None where the gate refused everything; `refusal` then says why, and building again would
            find the same.
        report: what the build found out.
    """

    subject: str
    document: Mapping[str, Any]
    artifact: str | None
    report: Mapping[str, Any]
    refusal: str = ""

    @property
    def derivation(self) -> str:
        return canonical.digest_of(dict(self.document))


class Derivations:
    """The records of a store, in `derivations/` of its folder."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._folder = artifacts.objects.folder / "derivations"

    def get(self, derivation: str) -> Built | None:
        """What was built from it; None when nothing was, or its artifact is not wholly here any more."""
        found = _read(self._folder / f"{digests.hex_of(derivation)}.json")
        if found is None or found.derivation != derivation:
            return None
        if found.artifact is not None and self._artifacts.missing(found.artifact):
            return None
        return found

    def put(self, built: Built) -> None:
        """Remember it, in place of what was remembered for the same derivation.

        Raises:
            OSError: the disk is full; nothing has changed then.
        """
        value = {
            "schema": SCHEMA,
            "subject": built.subject,
            "document": dict(built.document),
            "artifact": built.artifact,
            "report": dict(built.report),
            "refusal": built.refusal,
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._folder / f"{digests.hex_of(built.derivation)}.json"
        handle, name = tempfile.mkstemp(dir=self._folder, prefix="new-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(canonical.encode(value))
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_directory(self._folder)

    def of_subject(self, subject: str) -> Iterator[Built]:
        """Every record of a model's variant, the newest first; also those whose artifact is gone."""
        for file in sorted(self._folder.glob("*.json"), key=_age, reverse=True):
            found = _read(file)
            if found is not None and found.subject == subject:
                yield found


def _age(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read(file: Path) -> Built | None:
    """The record of a file; None for what this version cannot read: it is built again then."""
    try:
        value = canonical.decode(file.read_bytes(), "build record")
        if value["schema"] != SCHEMA:
            return None
        return Built(
            subject=str(value["subject"]),
            document=dict(value["document"]),
            artifact=None if value["artifact"] is None else digests.parse(value["artifact"]),
            report=dict(value["report"]),
            refusal=str(value["refusal"]),
        )
    except (OSError, WireError, KeyError, TypeError, ValueError):
        return None
