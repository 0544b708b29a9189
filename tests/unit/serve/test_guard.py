"""Who may read: which names a browser may call the server by, and what opens the door."""

import pytest

from edgeform.errors import UsageError
from edgeform.serve.guard import Guard, is_loopback

TOKEN = "canary-0123456789abcdef"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8421", "localhost:8421", "LOCALHOST", "[::1]:8421", "[::1]", "10.1.2.3:80",
     "fleet.plant.example", "fleet.plant.example:443", "Fleet.Plant.Example"],
)  # fmt: skip
def test_a_name_of_this_server_and_any_address_in_digits_are_known(host):
    assert Guard(names=frozenset({"fleet.plant.example"})).knows_host(host)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:8421", "127.0.0.1.evil.example", "localhost.evil.example",
     "localhost:8421@evil.example", "127.0.0.1:x", "[::1", "[evil]", "[::1]x", "[::1]:8421:1", "0x7f.1:80",
     "fleet.plant.example.", "fleet.plant.example\x00", "2130706433", "127.1", ":8421", "localhost:²"],
)  # fmt: skip
def test_a_name_that_somebody_else_can_point_here_is_not(host):
    assert not Guard(names=frozenset({"fleet.plant.example"})).knows_host(host)


@pytest.mark.parametrize(
    ("address", "only_here"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("192.168.1.4", False), ("fleet.plant.example", False), ("", False)],
)  # fmt: skip
def test_only_loopback_is_for_this_machine_alone(address, only_here):
    assert is_loopback(address) == only_here


def test_the_cookie_opens_the_pages_and_is_not_the_token():
    guard = Guard(token=TOKEN)
    assert guard.takes_token(TOKEN)
    assert guard.takes_cookie(guard.cookie)
    assert not guard.takes_token(guard.cookie)
    assert not guard.takes_cookie(TOKEN)
    assert not guard.takes_token("")
    assert not guard.takes_cookie("")
    assert TOKEN not in guard.cookie
    assert Guard(token=TOKEN + "x").cookie != guard.cookie
    assert TOKEN not in repr(guard)


@pytest.mark.parametrize("odd", ["é" * 20, "\ud800" * 20, "a" * 100_000])
def test_whatever_is_offered_is_only_wrong(odd):
    assert not Guard(token=TOKEN).takes_token(odd)
    assert not Guard(token=TOKEN).takes_cookie(odd)


def test_a_token_that_can_be_guessed_is_refused():
    with pytest.raises(UsageError) as failed:
        Guard(token="0123456789abcde")
    assert "openssl rand" in failed.value.hint
