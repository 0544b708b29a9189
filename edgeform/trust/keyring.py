"""Which keys are known, where their secret halves are, and those of them that are at hand here.

`keyring.json` holds no secret: key ids, public PEMs and URIs. Which role a key signs for is not its
business: the signed metadata says that.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from edgeform.errors import NotTrusted, UsageError
from edgeform.trust.files import replace_file
from edgeform.trust.keys import FILE_SCHEME, Passphrase, PublicKey, open_key_file

SCHEMA = "edgeform.keyring/1"
FILE_NAME = "keyring.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """Opens the secret half of keys by their URI, each once in a run.

    Args:
        folder: what relative `file:` URIs are relative to.
        keys: every key this place has a URI for.
    """

    folder: Path
    keys: tuple[PublicKey, ...]
    passphrase: Passphrase
    _opened: dict[str, CryptoSigner] = field(default_factory=dict, init=False, repr=False)

    def find(self, key_id: str) -> PublicKey | None:
        return next((key for key in self.keys if key.key_id == key_id), None)

    def is_at_hand(self, key_id: str) -> bool:
        """Whether this machine holds the key; other people's keys are normal, not an error."""
        key = self.find(key_id)
        return key is not None and key.uri.startswith(FILE_SCHEME) and self._file(key).is_file()

    def signer(self, key_id: str) -> CryptoSigner:
        """The key, ready to sign.

        Raises:
            UsageError: unknown key, unknown scheme, a missing file or a wrong passphrase.
            NotTrusted: others may read the file, or it holds another key.
        """
        if key_id in self._opened:
            return self._opened[key_id]
        key = self.find(key_id)
        if key is None:
            raise UsageError(f"No URI is known for key {key_id[:12]}.")
        if not key.uri.startswith(FILE_SCHEME):
            raise UsageError(
                f"Keys are opened from encrypted files only, so far; {key.uri!r} is elsewhere.",
                hint="Use a URI of the form:\n    file:keys/NAME.pem",
            )
        signer = open_key_file(self._file(key), self.passphrase)
        if signer.public_key.keyid != key.key_id:
            raise NotTrusted(
                f"The file holds key {signer.public_key.keyid[:12]}, the key ring expects "
                f"{key.short_id}.",
                address=key.uri,
                hint="Restore the right key file, or rotate the key.",
            )
        self._opened[key_id] = signer
        return signer

    def save(self) -> None:
        """Write `keyring.json`, whole or not at all."""
        keys = [{"key_id": key.key_id, "uri": key.uri, "pem": key.pem} for key in self.keys]
        text = json.dumps({"schema": SCHEMA, "keys": keys}, indent=2, sort_keys=True) + "\n"
        replace_file(self.folder / FILE_NAME, text.encode("utf-8"))

    def _file(self, key: PublicKey) -> Path:
        return self.folder / key.uri.removeprefix(FILE_SCHEME)


def load_keyring(folder: Path, passphrase: Passphrase) -> KeyRing:
    """The key ring of a trust folder.

    Raises:
        UsageError: there is none, or it is not one.
    """
    file = folder / FILE_NAME
    try:
        document = json.loads(file.read_text("utf-8"))
        if document["schema"] != SCHEMA:
            raise UsageError(f"The key ring has schema {document['schema']!r}.", address=str(file))
        keys = tuple(
            PublicKey(key_id=str(item["key_id"]), uri=str(item["uri"]), pem=str(item["pem"]))
            for item in document["keys"]
        )
    except FileNotFoundError as exc:
        raise UsageError(
            "There is no trust repository here.",
            address=str(folder),
            hint="Make one:\n    edgeform trust init",
        ) from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise UsageError(f"Not a key ring: {exc!r}", address=str(file)) from exc
    return KeyRing(folder=folder, keys=keys, passphrase=passphrase)
