from dataclasses import replace

import pytest
from support.device import (
    NO_DIGEST,
    RUNTIME_FILES,
    a_deployment,
    a_generation,
    a_model,
    an_artifact,
)

from edgeform_device.facts import Facts
from edgeform_device.preflight import Situation, refusals
from edgeform_device.records import Committed, Quarantined
from edgeform_device.trusted import Approved
from edgeform_wire.artifact import Requires
from edgeform_wire.deployment import Base, Policy

FACTS = Facts(
    arch="aarch64",
    glibc="2.36",
    python="3.11.2",
    clock="ntp",
    boot_id="b",
    free_bytes=10**9,
    accelerators=(("cpu", "ready"), ("hailo-8", "ready"), ("intel-gpu", "no-driver")),
)
HERE = Situation(
    facts=FACTS,
    committed=None,
    quarantine={},
    secrets={},
    new_bytes=0,
    missing_bytes=0,
    can_sign=True,
)


def approved(*, requires=None, policy=None, base=None, secrets=None):
    runtime = an_artifact(RUNTIME_FILES, requires=requires)
    model = a_model()
    deployment = a_deployment(
        a_generation(model, runtime, secrets=secrets), base=base, policy=policy
    )
    return Approved(
        deployment=deployment,
        digest=NO_DIGEST,
        artifacts=(model, runtime),
        tool=None,
        versions={},
        freshness="known",
        profile="development",
    )


def codes(found):
    return [refusal.code for refusal in found]


def test_nothing_stands_against_what_fits():
    fitting = Requires(arch="aarch64", glibc="2.28", python="3.11", accelerator="hailo-8")
    assert refusals(approved(requires=fitting), HERE) == ()


@pytest.mark.parametrize(
    ("requires", "said"),
    [
        (Requires(arch="x86_64"), "architecture x86_64; this device has aarch64"),
        (Requires(glibc="2.38"), "glibc 2.38; this device has 2.36"),
        (Requires(glibc="2.100"), "glibc 2.100"),
        (Requires(python="3.12"), "Python 3.12; this device has 3.11.2"),
        (Requires(accelerator="coral-usb"), "accelerator coral-usb; this device has none"),
        (Requires(accelerator="intel-gpu"), "its state is no-driver"),
    ],
)
def test_hardware_that_does_not_fit_is_refused_with_both_sides(requires, said):
    (found,) = refusals(approved(requires=requires), HERE)
    assert found.code == "refused"
    assert said in found.summary
    assert found.hint


def test_a_device_without_glibc_gets_nothing_that_needs_it():
    musl = replace(HERE, facts=replace(FACTS, glibc=""))
    assert codes(refusals(approved(requires=Requires(glibc="2.17")), musl)) == ["refused"]


def test_a_cpu_artifact_fits_every_device():
    assert refusals(approved(requires=Requires(accelerator="cpu")), HERE) == ()


def test_a_plan_for_another_state_is_stale():
    committed = Committed(generation=3, digest=NO_DIGEST, deployment=2, transaction="t")
    assert codes(refusals(approved(), replace(HERE, committed=committed))) == ["stale"]
    base = Base(generation=3, digest=NO_DIGEST)
    assert refusals(approved(base=base), replace(HERE, committed=committed)) == ()


def test_a_generation_that_failed_here_is_held_with_its_reason():
    wanted = approved()
    held = {
        wanted.deployment.generation.digest: Quarantined("golden 3 differs", "yesterday", "t", 4)
    }
    (found,) = refusals(wanted, replace(HERE, quarantine=held))
    assert found.code == "held"
    assert "golden 3 differs" in found.detail


def test_space_is_demanded_with_a_margin():
    full = replace(HERE, new_bytes=10**9)
    (found,) = refusals(approved(), full)
    assert "953.7 MiB free" in found.summary
    assert refusals(approved(), replace(full, facts=replace(FACTS, free_bytes=2 * 10**9))) == ()


def test_secrets_must_be_here_and_be_the_planned_ones():
    wanted = approved(secrets={"token": "hmac-sha256:1"})
    assert "not been delivered" in refusals(wanted, HERE)[0].summary
    assert refusals(wanted, replace(HERE, secrets={"token": "hmac-sha256:1"})) == ()
    assert refusals(wanted, replace(HERE, secrets={"token": ""})) == ()
    other = replace(HERE, secrets={"token": "hmac-sha256:2"})
    assert "not the one that was planned" in refusals(wanted, other)[0].summary


def test_a_site_that_demands_a_clock_gets_nothing_without_one():
    strict = approved(policy=Policy(require_clock=True))
    assert refusals(strict, HERE) == ()
    assert codes(refusals(replace(strict, freshness="unknown"), HERE)) == ["stale"]
    assert refusals(replace(approved(), freshness="unknown"), HERE) == ()


def test_a_site_that_demands_signed_receipts_gets_nothing_without_a_signer():
    strict = approved(policy=Policy(unsigned_receipts=False))
    assert refusals(strict, HERE) == ()
    assert codes(refusals(strict, replace(HERE, can_sign=False))) == ["refused"]


def test_every_refusal_is_said_at_once():
    wanted = approved(requires=Requires(arch="x86_64", python="3.12"), secrets={"token": "1"})
    found = refusals(wanted, replace(HERE, missing_bytes=5, new_bytes=10**12))
    assert codes(found) == ["refused"] * 4 + ["incomplete"]
