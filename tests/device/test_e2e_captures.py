"""Recent frames of a real device: recorded as the spec says, fetched because somebody asks, answered again here."""

import json
import os
import signal
import time
from pathlib import Path

import jsonschema
import pytest
from support.captures import read
from support.runtime import SCENES
from support.site import EDGEFORM, Started, copy_locked, wait_for
from support.small_site import SmallSite

from edgeform.lab.site import place_scenes
from edgeform.shipped import shipped
from edgeform_wire.capture import About, Kept

RECORDING = """
  recording:
    frames: 6
    mask: {regions: [{left: 0, top: 0, width: 1, height: 0.1}]}
"""


@pytest.fixture
def small(rootless_lab, locked_site, tmp_path, monkeypatch):
    made = SmallSite(folder=copy_locked(locked_site, tmp_path / "site"), lab=rootless_lab)
    monkeypatch.chdir(tmp_path)
    made.want("digits")
    for device in rootless_lab.devices():
        place_scenes(rootless_lab, device, SCENES)
    return made


def record(small, masked):
    for path in small.folder.rglob("*.yaml"):
        text = path.read_text()
        if "kind: Pipeline" in text:
            extra = RECORDING if masked else "\n  recording: {frames: 6}\n"
            parts = [
                p.rstrip() + extra if "kind: Pipeline" in p else p for p in text.split("\n---")
            ]
            path.write_text("\n---".join(parts))


def inferred(small, count):
    def enough():
        said = small.run("watch", "-l", "small-1", "--count", "1", "-o", "jsonl")
        looks = [json.loads(x) for x in said.out.splitlines()]
        return any(p["inferred"] >= count for look in looks for p in look.get("pipelines", ()))

    wait_for(enough, f"{count} frames")


def valid(schema, text):
    validator = jsonschema.Draft202012Validator(
        json.loads(shipped("schemas", f"{schema}.schema.json").read_text())
    )
    lines = [json.loads(x) for x in text.splitlines()]
    for line in lines:
        validator.validate(line)
    return lines


def test_a_capture_is_fetched_and_replayed_bit_by_bit_and_against_a_worse_model(small):
    nothing = small.run("apply", "--yes", "-l", "small-1")
    assert nothing.exit_code == 0, nothing.text
    refused = small.run("capture", "small-1")
    assert refused.exit_code != 0
    assert "recording" in refused.err, refused.text
    record(small, masked=False)
    applied = small.run("apply", "--yes", "-l", "small-1")
    assert applied.exit_code == 0, applied.text
    inferred(small, 4)
    made = small.run("capture", "small-1", "--out", "one.efcap")
    assert made.exit_code == 0, made.text
    assert "frames of small-1/digits-gate" in made.out
    about, *rest = read(Path("one.efcap").read_bytes())
    assert isinstance(about, About)
    assert (about.reason, about.device) == ("request", "small-1")
    assert sum(isinstance(r, Kept) for r in rest) >= 4
    again = small.run("capture", "small-1", "--out", "one.efcap")
    assert (again.exit_code, "is there already" in again.err) == (64, True), again.text

    replayed = replay(small, "one.efcap", "--json")
    assert replayed.exit_code == 0, replayed.text
    rows = valid("replay", replayed.out)
    assert {r["verdict"] for r in rows} == {"identical"}
    assert {r["is_input_same"] for r in rows} == {True}
    exact = replay(small, "one.efcap", "--exact")
    assert (exact.exit_code, "the recorded closure" in exact.err) == (0, True), exact.text

    listed = small.run("capture", "small-1", "--list", "--json")
    assert [json.loads(x)["pipeline"] for x in listed.out.splitlines()] == ["digits-gate"]

    damaged = bytearray(Path("one.efcap").read_bytes())
    damaged[len(damaged) // 2] ^= 4
    Path("two.efcap").write_bytes(damaged)
    wrong = replay(small, "two.efcap")
    assert (wrong.exit_code, "changed: record" in wrong.err) == (12, True), wrong.text
    Path("cut.efcap").write_bytes(Path("one.efcap").read_bytes()[:-40])
    cut = replay(small, "cut.efcap")
    assert (cut.exit_code, "truncated: record" in cut.err) == (12, True), cut.text


def replay(small, file, *options):
    return Started(
        (EDGEFORM, "replay", file, "--site", str(small.folder), *options), os.environ
    ).end()


def test_a_masked_capture_holds_black_and_a_failed_gate_leaves_one_on_the_device(small):
    record(small, masked=True)
    applied = small.run("apply", "--yes", "-l", "small-1")
    assert applied.exit_code == 0, applied.text
    inferred(small, 3)
    made = small.run("capture", "small-1", "--out", "masked.efcap")
    assert made.exit_code == 0, made.text
    replayed = replay(small, "masked.efcap", "--json")
    assert replayed.exit_code == 0, replayed.text
    assert {r["verdict"] for r in valid("replay", replayed.out)} == {"masked"}
    small.want("nan-weights")
    wrong = small.run("apply", "--yes", "-l", "small-1")
    assert wrong.exit_code == 5, wrong.text
    listed = small.run("capture", "small-1", "--list", "--json")
    names = [json.loads(x)["file"] for x in listed.out.splitlines()]
    assert any("gate_failure" in name for name in names), names


def test_watch_shows_rates_and_who_is_away_and_ends_cleanly(small):
    applied = small.run("apply", "--yes")
    assert applied.exit_code == 0, applied.text
    seen = small.run("watch", "--count", "3", "--every", "1", "-o", "jsonl")
    assert seen.exit_code == 0, seen.text
    looks = valid("watch", seen.out)
    last = [look for look in looks if look["device"] == "small-1"][-1]
    (pipeline,) = last["pipelines"]
    assert pipeline["phase"] == "ready"
    assert pipeline["fps"] > 0
    assert pipeline["p50_ms"] > 0
    plain = small.run("watch", "-l", "small-1", "--count", "1")
    assert "small-1/digits-gate  ready  generation" in plain.out
    assert "\x1b" not in plain.out
    small.lab.cut("small-1")
    away = small.run("watch", "--count", "2", "--every", "1", "-o", "jsonl")
    assert away.exit_code == 9, away.text
    gone = [look for look in valid("watch", away.out) if look["device"] == "small-1"]
    assert {look["answered"] for look in gone} == {False}
    assert len({look["since"] for look in gone}) == 1
    started = Started((EDGEFORM, "watch", str(small.folder), "--every", "0.5"), os.environ)
    time.sleep(4)
    os.kill(started.pid, signal.SIGINT)
    ended = started.end()
    assert ended.exit_code == 0, ended.text
    assert "Traceback" not in ended.text
