"""A few seconds of malformed requests in every run, ten minutes in a soak (`EDGEFORM_FUZZ_S`); what was found stays."""

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from support.fuzz_http import exchange, fuzz, request, seeds, verdict
from support.runtime import MODEL, Prefix, a_pipeline_file, goldens, running
from support.soak import SEED

SECONDS = float(os.environ.get("EDGEFORM_FUZZ_S", "4"))
KEPT = sorted((Path(__file__).parents[1] / "cases" / "http").glob("*.http"))
CASE = next(c for c in goldens().cases if c.level == "tensor")
TENSOR = (MODEL / CASE.inputs[0].path).read_bytes()
MOST_GROWTH_BYTES = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def daemon():
    path = Path(tempfile.mkdtemp(prefix="efr-"))
    prefix = Prefix(path)
    prefix.put_model()
    with running(prefix, prefix.put_pipeline(a_pipeline_file())) as found:
        yield found
    shutil.rmtree(path)


def http_path(daemon):
    return daemon.socket_path.removesuffix(".sock") + ".http.sock"


def test_the_requests_that_are_changed_were_right_before(daemon):
    said = [verdict(exchange(http_path(daemon), whole))[0] for whole in seeds(TENSOR)]
    assert said == ["400", "200", "202", "200", "200", "200"]  # the small one is too small


@pytest.mark.parametrize("case", KEPT, ids=lambda p: p.stem)
def test_a_request_that_once_was_answered_wrongly_is_refused(daemon, case):
    kind, is_allowed = verdict(exchange(http_path(daemon), case.read_bytes()))
    assert is_allowed, kind
    assert verdict(exchange(http_path(daemon), request("GET", "/v2/health/live")))[0] == "200"


@pytest.mark.timeout(SECONDS + 120)
def test_malformed_requests_never_hurt_the_server(daemon, record_property):
    before = resident(daemon)
    found = fuzz(http_path(daemon), TENSOR, seed=SEED, seconds=SECONDS)
    record_property("fuzz", f"seed {SEED}, {found.requests} requests, {dict(found.answers)}")
    print(f"{found.requests} requests in {found.seconds:.0f} s, seed {SEED}: {dict(found.answers)}")
    assert found.wrong == []
    assert daemon.process.poll() is None
    # A few at the end may still be waited for, and then the server is as it was.
    time.sleep(0.5)
    assert resident(daemon) - before < MOST_GROWTH_BYTES
    assert [line for line in daemon.log() if line["event"] == "http_failed"] == []


def resident(daemon):
    pages = Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
