import copy
import json
import logging
import pickle
from dataclasses import asdict, dataclass

import pytest

from edgeform.secrets import SecretValue, hmac_of

CANARY = "canary-5f2e"
SECRET = SecretValue(CANARY.encode())


@dataclass(frozen=True)
class Holder:
    password: SecretValue


@pytest.mark.parametrize(
    "shown",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>20}",
        f"{SECRET:>10}",
        "%s" % SECRET,  # noqa: UP031 - the old way must not leak either
        "{}".format(SECRET),  # noqa: UP032 - likewise
        repr([SECRET]),
        repr({"a": SECRET}),
        repr(Holder(SECRET)),
        repr(asdict(Holder(SECRET))),
        json.dumps({"password": SECRET}, default=str),
    ],
)
def test_a_secret_shows_as_three_stars(shown):
    assert "***" in shown
    assert CANARY not in shown


def test_a_secret_has_no_json():
    with pytest.raises(TypeError) as caught:
        json.dumps({"password": SECRET})
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_never_pickled(protocol):
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps({"password": SECRET}, protocol)


def test_a_secret_has_no_dictionary_of_attributes():
    with pytest.raises(TypeError):
        vars(SECRET)
    with pytest.raises(TypeError, match="no state"):
        SECRET.__getstate__()


def test_a_copy_of_a_secret_is_the_secret():
    assert copy.deepcopy([SECRET])[0] is SECRET
    assert copy.copy(SECRET) is SECRET


def test_a_secret_can_be_compared_but_not_hashed():
    assert SecretValue(b"a") == SecretValue(b"a")
    assert SecretValue(b"a") != SecretValue(b"b")
    assert SecretValue(b"a") != b"a"
    with pytest.raises(TypeError, match="unhashable"):
        hash(SECRET)


def test_a_log_line_shows_stars(caplog):
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("edgeform").debug("password is %s and %r", SECRET, {"p": SECRET})
    assert CANARY not in caplog.text
    assert "***" in caplog.text


def test_the_hmac_changes_with_the_value_the_key_and_the_place():
    key, other = SecretValue(b"k" * 32), SecretValue(b"l" * 32)
    hmacs = {
        hmac_of(key, SECRET),
        hmac_of(key, SecretValue(b"x")),
        hmac_of(other, SECRET),
        hmac_of(key, SECRET, "cam-1/wifi"),
        hmac_of(key, SECRET, "cam-2/wifi"),
    }
    assert len(hmacs) == 5
    assert hmac_of(key, SECRET) == hmac_of(key, SecretValue(CANARY.encode()))


def test_the_hmac_is_the_standard_one():
    """RFC 4231, test case 2, with the separator that stands before every value."""
    import hashlib
    import hmac

    expected = hmac.new(b"Jefe", b"\0what do ya want for nothing?", hashlib.sha256).hexdigest()
    value = SecretValue(b"what do ya want for nothing?")

    assert hmac_of(SecretValue(b"Jefe"), value) == f"hmac-sha256:{expected}"
