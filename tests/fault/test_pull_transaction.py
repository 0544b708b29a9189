"""Pulling with the real tool, the real runtime and a real HTTP server: committed, nothing new, refused, one at a time."""

import functools
import http.server
import json
import subprocess
import threading

import pytest
from support.real_device import swapped_labels, wait_for
from support.stick import StickDevice

from edgeform.store.remote import DirectoryRemote, push
from edgeform.store.trees import push_files

pytestmark = pytest.mark.slow


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def real(tmp_path):
    device = StickDevice(tmp_path)
    yield device
    device.end()


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "public"
    folder.mkdir()
    made = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    made.folder, made.url = folder, f"http://127.0.0.1:{made.server_port}"
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def published(real, server):
    there = DirectoryRemote(server.folder)
    push(real.press.artifacts.objects, there, list(real.press.artifacts.objects))
    repository = real.publisher.trust.repository
    push_files(there, "trust/targets", repository.targets)
    push_files(there, "trust/metadata", repository.metadata)


def receipts(real):
    lines = (real.device.prefix / "receipts.jsonl").read_bytes().splitlines()
    return [json.loads(line)["receipt"] for line in lines]


def test_a_timer_pulls_confirms_finds_nothing_new_and_does_not_repeat_what_failed(real, server):
    real.signed("1.0.0", confirm="controller")
    published(real, server)
    first = real.ask("pull", server.url)
    assert (first.exit_code, first.said["outcome"]) == (0, "committed"), first
    assert first.said["returned"].startswith("not taken by the server")
    again = real.ask("pull", server.url)
    assert (again.exit_code, again.said["outcome"]) == (0, "unchanged"), again

    real.signed("1.1.0", spoil=swapped_labels)
    published(real, server)
    bad = real.ask("pull", server.url)
    assert (bad.exit_code, bad.said["error"]["code"]) == (5, "rolled_back"), bad
    for _ in range(2):
        held = real.ask("pull", server.url)
        assert (held.exit_code, held.said["error"]["code"]) == (5, "held"), held
    assert [(r["result"], r["road"]) for r in receipts(real)] == [
        ("committed", "pull"),
        ("rolled_back", "pull"),
    ]
    assert real.serving()["generation"] == 1


def test_a_pull_that_meets_another_or_an_apply_is_locked_and_changes_nothing(real, server):
    real.signed("1.0.0", soak_s=6.0)
    published(real, server)
    running = subprocess.Popen(
        (*real.tool, "pull", server.url), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: real.state.order() is not None, "the transaction", 60)
    second = real.ask("pull", server.url)
    assert (second.exit_code, second.said["error"]["code"]) == (7, "locked"), second
    running.kill()  # whoever waits may die: the transaction goes on, and a pull still finds it at work
    running.wait()
    running.stdout.close()
    if real.state.order() is not None:
        third = real.ask("pull", server.url)
        assert third.exit_code in (0, 7), third
    wait_for(
        lambda: real.state.committed() is not None and real.state.order() is None, "commit", 90
    )
    assert real.ask("pull", server.url).said["outcome"] == "unchanged"
    assert [r["result"] for r in receipts(real)] == ["committed"]
