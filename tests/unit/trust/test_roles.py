import pytest

from edgeform.errors import UsageError
from edgeform.trust import roles


def test_production_demands_two_of_three_where_it_hurts():
    layout = roles.production_layout(("lab",))
    demanded = {role.name: (role.threshold, role.key_count) for role in layout.roles}

    assert demanded == {
        "root": (2, 3),
        "targets": (2, 3),
        "snapshot": (1, 1),
        "timestamp": (1, 2),
        "core": (2, 3),
        "models": (1, 1),
        "runtimes": (1, 1),
        "drivers": (1, 1),
        "goldens": (1, 1),
        "site-lab": (1, 1),
    }


def test_development_has_the_same_tree_with_thresholds_of_one():
    development, production = roles.development_layout(("lab",)), roles.production_layout(("lab",))

    assert [r.name for r in development.roles] == [r.name for r in production.roles]
    assert [r.patterns for r in development.roles] == [r.patterns for r in production.roles]
    assert {r.threshold for r in development.roles} == {1}


def test_each_role_speaks_about_its_own_paths():
    patterns = {r.name: r.patterns for r in roles.production_layout(("lab",)).delegated}

    assert patterns == {
        "core": ("artifacts/tool/*/*/*",),
        "models": ("artifacts/model/*/*/*",),
        "runtimes": ("artifacts/runtime/*/*/*",),
        "drivers": ("artifacts/driver/*/*/*",),
        "goldens": ("artifacts/golden/*/*/*",),
        "site-lab": ("sites/lab/*",),
    }


@pytest.mark.parametrize(
    ("name", "days"), [("root", 365), ("timestamp", 7), ("targets", 90), ("site-lab-3f", 30)]
)
def test_lifetimes_follow_from_the_name(name, days):
    assert roles.lifetime_of(name).days == days


@pytest.mark.parametrize("site", ["../x", "A", "a*b", ""])
def test_a_site_whose_name_is_a_pattern_or_a_path_gets_no_role(site):
    with pytest.raises(UsageError):
        roles.site_role(site)


def test_an_unknown_role_names_those_that_exist():
    with pytest.raises(UsageError) as caught:
        roles.production_layout().role("modles")
    assert "models" in caught.value.hint
