"""The device template's recipe: what decides it, and whose mirrors fill it."""

from dataclasses import replace
from pathlib import Path

import pytest

from edgeform.lab.failure import LabError
from edgeform.lab.template import (
    Recipe,
    apt_options,
    build_command,
    cache_directory,
    own_sources,
    recipe_of_host,
)

DEB822 = """Types: deb
# a remark
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://mirror.example/off
Suites: bookworm
Components: main
"""


def test_the_hosts_own_mirrors_are_used():
    signed = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert own_sources({"debian.sources": DEB822}, "bookworm").splitlines() == [
        f"{signed} http://mirror.example/debian bookworm main contrib",
        f"{signed} http://mirror.example/debian bookworm-updates main contrib",
        "deb http://mirror.example/security bookworm-security main",
    ]


def test_third_party_repositories_stay_out():
    files = {
        "sources.list": "deb http://mirror.example/debian bookworm main\n# deb x bookworm main\n",
        "other.list": "deb [arch=amd64 signed-by=/k.gpg] https://other.example/apt stable main\n",
        "sdk.list": "deb https://sdk.example/apt sdk-bookworm main\n",
    }
    expected = "deb http://mirror.example/debian bookworm main\n"
    assert own_sources(files, "bookworm") == expected


def test_a_host_without_a_mirror_says_so():
    with pytest.raises(LabError, match="no source for 'bookworm'"):
        own_sources({"sources.list": "deb http://mirror.example/debian trixie main\n"}, "bookworm")


def test_the_ways_to_the_mirror_are_taken_over_and_nothing_else():
    dump = (
        'Acquire "";\nAcquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::https::Proxy "";\nAcquire::Check-Date "false";\n'
        'Acquire::Languages "fr";\nAPT::Architecture "amd64";\n'
        'DPkg::Post-Invoke:: "rm proxy";\n'
    )
    assert apt_options(dump) == (
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::Check-Date "false";',
    )


def test_the_recipe_follows_the_host():
    recipe = recipe_of_host('NAME="Debian"\nVERSION_CODENAME=bookworm\n', "aarch64")
    assert (recipe.suite, recipe.architecture) == ("bookworm", "arm64")
    with pytest.raises(LabError, match="no VERSION_CODENAME"):
        recipe_of_host("NAME=Other\n", "x86_64")
    with pytest.raises(LabError, match="s390x"):
        recipe_of_host("VERSION_CODENAME=bookworm\n", "s390x")


def test_whatever_changes_the_template_changes_its_name():
    recipe = Recipe(suite="bookworm", architecture="amd64")
    others = (
        replace(recipe, suite="trixie"),
        replace(recipe, architecture="arm64"),
        replace(recipe, packages=(*recipe.packages, "jq")),
        replace(recipe, customize=recipe.customize + "true\n"),
    )
    assert len({recipe.digest, *(other.digest for other in others)}) == 5
    assert recipe.digest == Recipe(suite="bookworm", architecture="amd64").digest


def test_the_command_names_everything_it_uses():
    recipe = Recipe(suite="bookworm", architecture="amd64", packages=("a", "b"))
    command = build_command(
        recipe, Path("/t"), sources=Path("/s.list"), options=('Acquire::http::Proxy "p";',)
    )
    assert command[0] == "mmdebstrap"
    assert command[-3:] == ("bookworm", "/t", "/s.list")
    assert "--include=a,b" in command
    assert '--aptopt=Acquire::http::Proxy "p";' in command


def test_the_cache_is_where_the_user_wants_it():
    assert cache_directory({"EDGEFORM_LAB_CACHE": "/c"}) == Path("/c")
    assert cache_directory({"XDG_CACHE_HOME": "/x"}) == Path("/x/edgeform/lab")
    assert cache_directory({"HOME": "/h"}) == Path("/h/.cache/edgeform/lab")


def test_no_key_is_in_the_template():
    assert "authorized_keys" not in Recipe(suite="s", architecture="a").customize
    assert "rm -f" in Recipe(suite="s", architecture="a").customize
