"""References -> values, at apply time and in memory only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from edgeform.domain.site import SecretRef
from edgeform.errors import UsageError
from edgeform.secrets.encrypted_file import Passphrase, SecretsFile
from edgeform.secrets.errors import SecretMissing
from edgeform.secrets.references import PROVIDERS, parse_reference
from edgeform.secrets.value import SecretValue, hmac_of

SiteKey = Callable[[], SecretValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """Gives values for references, each looked up once in a run.

    Args:
        folder: the site's folder; `file/` paths are relative to it.
        environ: the environment that `env/` reads.
        passphrase: asked for when the first `file/` reference is resolved.
    """

    folder: Path
    environ: Mapping[str, str] = field(repr=False)
    passphrase: Passphrase
    _found: dict[str, SecretValue] = field(default_factory=dict, init=False, repr=False)
    _files: dict[str, Mapping[str, SecretValue]] = field(
        default_factory=dict, init=False, repr=False
    )

    def resolve(self, reference: SecretRef) -> SecretValue:
        """The value behind a reference.

        Raises:
            SecretMissing: nothing is there.
            SecretFileDamaged: the secrets file does not open.
            UsageError: a provider that edgeform does not have.
        """
        name = str(reference)
        if name not in self._found:
            self._found[name] = self._look_up(reference)
        return self._found[name]

    def hmac_with(self, site_key: SiteKey) -> Callable[[str, str, SecretRef], str | None]:
        """What the planner asks: (device, secret's name, reference) -> an HMAC, None where nothing is."""
        key = cache(site_key)  # asked for once, and only when there is a secret

        def hmac(device: str, name: str, reference: SecretRef) -> str | None:
            try:
                value = self.resolve(reference)
            except SecretMissing:
                return None
            return hmac_of(key(), value, f"{device}/{name}")

        return hmac

    def _look_up(self, reference: SecretRef) -> SecretValue:
        if reference.provider not in PROVIDERS:
            raise UsageError(
                f"There is no secret provider {reference.provider!r}.",
                address=str(reference),
                hint=f"Providers are: {', '.join(PROVIDERS)}",
            )
        parse_reference(str(reference))  # a reference made in code obeys the same grammar
        if reference.provider == "file":
            file = SecretsFile(file=self.folder / reference.path, passphrase=self.passphrase)
            if reference.path not in self._files:
                self._files[reference.path] = file.everything()
            return file.pick(self._files[reference.path], reference.key or "")
        value = self.environ.get(reference.path, "")
        if not value:
            raise SecretMissing(
                f"The environment variable {reference.path} is not set, or empty.",
                address=str(reference),
                hint=f"Set it for this run:\n    read -rs {reference.path} && export {reference.path}",
            )
        return SecretValue(value.encode("utf-8", "surrogateescape"))
