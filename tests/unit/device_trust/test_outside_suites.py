"""Suites that other people wrote. They are not part of this repository: name a checkout to run them.

    EDGEFORM_WYCHEPROOF=<C2SP/wycheproof>              commit dac1dd4 was used
    EDGEFORM_TUF_CONFORMANCE=<theupdateframework/tuf-conformance>   commit eec841c was used

The conformance suite wants a Python of its own with tuf, pytest and pytest-json-report, and the
program `faketime`; name that Python in EDGEFORM_TUF_CONFORMANCE_PYTHON.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeform_device import p256
from edgeform_device.p256_openssl import cross_checked, find_openssl

HERE = Path(__file__).parent


def checkout(variable):
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} names no checkout of that suite")
    return Path(folder)


def test_wycheproof_has_no_vector_that_we_judge_otherwise():
    file = checkout("EDGEFORM_WYCHEPROOF") / "testvectors_v1/ecdsa_secp256r1_sha256_test.json"
    verify = cross_checked(p256.verify, find_openssl())
    differ, count = [], 0
    for group in json.loads(file.read_text())["testGroups"]:
        key = p256.load_public_key(group["publicKeyPem"])
        for test in group["tests"]:
            good = verify(key, bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
            count += 1
            if good != (test["result"] == "valid"):
                differ.append(test["tcId"])

    assert (count > 400, differ) == (True, [])


def test_tuf_conformance_passes_but_for_what_is_refused_by_design(tmp_path):
    suite = checkout("EDGEFORM_TUF_CONFORMANCE")
    if not shutil.which("faketime"):
        pytest.skip("the suite needs the program faketime")
    python = os.environ.get("EDGEFORM_TUF_CONFORMANCE_PYTHON", sys.executable)
    client = tmp_path / "client"
    client.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "conformance_client.py"} "$@"\n')
    client.chmod(0o755)
    shutil.copy(HERE / "conformance_client.xfails", tmp_path / "client.xfails")

    done = subprocess.run(
        (python, "-m", "pytest", "tuf_conformance", "-q", "--entrypoint", str(client)),
        cwd=suite,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:]
    assert "110 passed, 3 xfailed" in done.stdout
