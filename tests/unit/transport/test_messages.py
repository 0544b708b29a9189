from dataclasses import fields
from pathlib import Path

import pytest

from edgeform.domain.drivers import DriverTuple, Package, PackageSource, UdevRule
from edgeform.domain.observed import Unreachability
from edgeform.domain.site import Connect, SecretRef
from edgeform.transport.base import FilePart, Finished, ProvisionStep, Run, Target
from edgeform.transport.messages import (
    Alive,
    Failed,
    Provisioned,
    ProvisionRequest,
    RunRequest,
    Unreached,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)
from edgeform_wire import canonical

TARGET = Target(
    name="cam-01",
    connect=Connect(
        host="10.0.0.3",
        port=2222,
        user="ops",
        key_file="~/.ssh/id",
        use_agent=True,
        become="sudo",
        host_key="ssh-ed25519 AAAA",
        known_hosts="known",
        proxy_jump="a,b",
        config_file="config",
        connect_timeout_s=2.5,
    ),
    known_hosts=Path("/site/known_hosts"),
    sudo_password="s",
    prefix="/opt/edge",
    runtime_user="ai",
)


def _over_the_pipe(header):
    return canonical.decode(canonical.encode(header))


@pytest.mark.parametrize(
    "request_",
    [
        RunRequest(
            target=TARGET,
            command=Run(
                argv=("a", "b c"),
                stdin=(b"\x00one", FilePart(path=Path("/m"), offset=3, length=9), b"", b"two"),
                timeout_s=7.5,
                become=False,
                new_connection=True,
            ),
        ),
        ProvisionRequest(
            target=TARGET,
            drivers=DriverTuple(
                packages=(
                    Package(name="p", version="1:2", source=PackageSource.ARTIFACT, hold=True),
                    Package(name="q"),
                ),
                modules=("m",),
                udev_rules=(UdevRule(name="r", content="x\n"),),
                groups=("g",),
                sysctl=(("k", "v"),),
                artifact="sha256:00",
            ),
        ),
    ],
)
def test_requests_come_out_as_they_went_in(request_):
    header, body = encode_request(request_)
    assert decode_request(_over_the_pipe(header), b"".join(body)) == request_


@pytest.mark.parametrize(
    "answer",
    [
        Finished(exit_code=3, stdout=b"\x00a", stderr=b"b\xff"),
        Unreached(reason=Unreachability.SUDO, detail="d", hint="h"),
        Failed(detail="d"),
        ProvisionStep(operation="o", changed=True, succeeded=False, detail="d"),
        Provisioned(),
        Alive(),
    ],
)
def test_answers_come_out_as_they_went_in(answer):
    header, body = encode_answer(answer)
    assert decode_answer(_over_the_pipe(header), body) == answer


def test_where_a_password_comes_from_stays_with_the_controller():
    connect = Connect(sudo_password=SecretRef(provider="env", path="CANARY"))
    header, _ = encode_request(
        RunRequest(target=Target(name="x", connect=connect), command=Run(argv=("a",)))
    )
    assert "CANARY" not in str(header)


def test_every_field_of_a_target_and_its_connect_is_carried():
    # A field that is added to either must be carried, or refused on purpose.
    header, _ = encode_request(RunRequest(target=TARGET, command=Run(argv=("a",))))
    assert set(header["target"]) == {f.name for f in fields(Target)}
    assert set(header["target"]["connect"]) == {f.name for f in fields(Connect)} - {"sudo_password"}
