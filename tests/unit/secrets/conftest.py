import pytest

from edgeform.secrets import SecretsFile, SecretValue

PASSPHRASE = SecretValue(b"correct horse")


@pytest.fixture
def secrets_file(tmp_path):
    """An empty place for a secrets file; cheap to open, as only tests may be."""
    return SecretsFile(file=tmp_path / "secrets.json", passphrase=lambda: PASSPHRASE, scrypt_n=2)
