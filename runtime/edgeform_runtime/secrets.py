"""Secrets by name: from systemd's credentials directory, else from `<prefix>/secrets`.

Values are read when a stage asks, handed over, and kept nowhere.
"""

import os
from dataclasses import dataclass
from typing import Mapping, Tuple

from edgeform_runtime.errors import SecretMissing

MAX_SECRET_BYTES = 64 * 1024


@dataclass(frozen=True)
class Secrets:
    names: Tuple[str, ...]
    directory: str

    def value(self, name: str) -> bytes:
        """The secret's bytes.

        Raises:
            SecretMissing: the pipeline does not name it, or it cannot be read.
        """
        if name not in self.names:
            raise SecretMissing(f"the pipeline does not name a secret {name!r}")
        try:
            with open(os.path.join(self.directory, name), "rb") as stream:
                return stream.read(MAX_SECRET_BYTES)
        except OSError as exc:
            raise SecretMissing(f"secret {name!r} cannot be read: {exc.strerror}") from exc

    def path(self, name: str) -> str:
        """Where the secret lies, for libraries that read files themselves.

        Raises:
            SecretMissing: as `value`.
        """
        self.value(name)
        return os.path.join(self.directory, name)

    def check(self) -> None:
        """Refuse to start without a secret that the pipeline names.

        Raises:
            SecretMissing: names the first one.
        """
        for name in self.names:
            self.value(name)


def secrets_of(names: Tuple[str, ...], prefix: str, environ: Mapping[str, str]) -> Secrets:
    directory = environ.get("CREDENTIALS_DIRECTORY") or os.path.join(prefix, "secrets")
    return Secrets(names=names, directory=directory)
