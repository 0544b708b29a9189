"""Selectors: names, globs, labels, classes; and, or, not."""

import pytest
from support.spec import a_site, some_devices

from edgeform.errors import UsageError
from edgeform.spec.selector import BadSelector, parse, select


@pytest.fixture
def site(tmp_path):
    return a_site(
        tmp_path,
        some_devices(
            "{name: cam-1, class: pc, labels: {plant: berlin, ring: canary}, connect: {host: a}}",
            "{name: cam-2, class: pc, labels: {plant: berlin}, connect: {host: b}}",
            "{name: gate-1, class: builtin/jetson-orin-nano, labels: {plant: porto}, connect: {host: c}}",
        ),
    ).checked()


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        ([], ["cam-1", "cam-2", "gate-1"]),
        (["cam-1"], ["cam-1"]),
        (["cam-*"], ["cam-1", "cam-2"]),
        (["*-1"], ["cam-1", "gate-1"]),
        (["cam-[2-9]"], ["cam-2"]),
        (["plant=berlin"], ["cam-1", "cam-2"]),
        (["plant=ber*,ring=canary"], ["cam-1"]),
        (["plant!=berlin"], ["gate-1"]),
        (["ring!=canary"], ["cam-2", "gate-1"]),
        (["ring=canary", "plant=porto"], ["cam-1", "gate-1"]),
        (["class=jetson-orin"], ["gate-1"]),
        (["class=builtin/jetson-orin-nano"], ["gate-1"]),
        (["class!=jetson-orin"], ["cam-1", "cam-2"]),
        (["class=linux-*, cam-*"], ["cam-1", "cam-2"]),
    ],
)
def test_a_selector_selects(site, texts, names):
    assert [d.name for d in select(site, texts)] == names


@pytest.mark.parametrize("text", ["", ",", "a,,b", "plant=", "=x", "Cam", "a b", "plant==x y"])
def test_what_is_no_selector_is_refused(site, text):
    with pytest.raises(BadSelector):
        parse(text)
    with pytest.raises(UsageError):
        select(site, [text])


def test_selecting_nothing_is_wrong_usage_with_a_guess(site):
    with pytest.raises(UsageError) as caught:
        select(site, ["cam-1", "gate-7"])
    assert "gate-1" in caught.value.hint
