"""`edgeform build` as a person uses it, on the lab's network in a real builder."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from support.browser import laid_out, needs_chromium
from support.building import (
    a_dataset,
    a_site,
    a_variant_text,
    need_builders,
    run_edgeform,
    some_samples,
)

ROOT = Path(__file__).parents[3]
FP16 = a_variant_text("onnx-fp16", "[fp16]")
STRICT = a_variant_text("onnx-strict", "[fp16]", "{sqnr_db: 90, ladder: []}")


def lock_of(site):
    return json.loads((site / "edgeform.lock").read_text())


def built_in(site):
    return {a["variant"]: a for a in lock_of(site)["artifacts"] if "derivation" in a}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A site that was locked and built once: one variant passes, one is refused."""
    need_builders("onnx")
    site = a_site(tmp_path_factory.mktemp("site") / "lab", FP16, STRICT)
    locked = run_edgeform("lock", str(site))
    assert locked.returncode == 0, locked.stderr
    return site, run_edgeform("build", str(site), "--jobs", "2")


def test_what_passes_is_locked_and_what_does_not_is_refused_with_its_figures(told):
    site, done = told
    assert done.returncode == 3
    assert list(built_in(site)) == ["onnx-fp16"]
    measures = built_in(site)["onnx-fp16"]["measures"]
    assert measures["agreement"] == 1.0
    assert "p50_ms" not in measures
    assert "digits/onnx-fp16: built" in done.stdout
    assert "digits/onnx-strict: refused by its gate" in done.stdout
    assert re.search(r"SQNR 66\.\d dB, wanted at least 90 dB", done.stdout)
    assert "error: Variant refused by its gate" in done.stderr


def test_what_was_built_is_taken_from_the_store(told):
    site, _ = told
    before = (site / "edgeform.lock").read_bytes()
    again = run_edgeform("build", str(site), "digits", "-o", "json")
    value = json.loads(again.stdout)
    states = {v["variant"]: v["state"] for v in value["variants"]}
    assert states == {"digits/onnx-fp16": "cached", "digits/onnx-strict": "refused"}
    assert (site / "edgeform.lock").read_bytes() == before
    schema = json.loads((ROOT / "schemas" / "build.schema.json").read_text())
    assert [e.message for e in Draft202012Validator(schema).iter_errors(value)] == []


def test_the_plan_offers_the_built_variant_and_renewing_the_lock_keeps_it(told):
    site, _ = told
    before = built_in(site)
    renewed = run_edgeform("lock", str(site), "--update", "digits")
    assert renewed.returncode == 0, renewed.stderr
    assert built_in(site) == before


def test_explain_says_what_changed_and_builds_nothing(told, tmp_path):
    site = tmp_path / "lab"
    shutil.copytree(told[0], site)
    models = site / "models.yaml"
    models.write_text(models.read_text().replace("gate: {}", "gate: {agreement: 0.99}"))
    folder = site / "data" / "digits-evaluation"
    value = json.loads((folder / "dataset.json").read_text())
    value["samples"].pop()
    (folder / "dataset.json").write_text(json.dumps(value))
    done = run_edgeform("build", str(site), "--explain")
    assert done.returncode == 0, done.stderr
    assert "digits/onnx-fp16: to be built" in done.stdout
    assert "because the gate: agreement 0.98 -> 0.99" in done.stdout
    assert re.search(r"because the evaluation set: sha256:\w{12} -> sha256:\w{12}", done.stdout)
    assert built_in(site) == built_in(told[0])
    checked = run_edgeform("build", str(site), "--check")
    assert checked.returncode == 6
    assert "2 variants are to be built" in checked.stderr


def test_a_recipe_that_changed_is_forgotten_by_the_lock_until_it_is_built(told, tmp_path):
    site = tmp_path / "lab"
    shutil.copytree(told[0], site)
    models = site / "models.yaml"
    models.write_text(models.read_text().replace("recipe: [fp16]", "recipe: [clean, fp16]"))
    assert run_edgeform("lock", str(site)).returncode == 0
    assert built_in(site) == {}


@needs_chromium
def test_the_page_shows_every_plot_without_script_or_network(told, tmp_path):
    site, _ = told
    page = tmp_path / "page.html"
    done = run_edgeform("build", str(site), "-o", "html", "--out", str(page))
    assert done.returncode == 3, done.stderr
    source = page.read_text()
    assert "<script" not in source
    assert "default-src 'none'" in source
    seen, said = laid_out(page, tmp_path / "profile")
    assert said == []
    for title in ("Accuracy against bytes", "Accuracy against latency", "Error histogram"):
        assert seen.count(f"<b>{title}</b>") == 2
    assert "Agreement by class" in seen
    assert re.search(r"SQNR 66\.\d dB", seen)


def test_bad_data_are_told_before_anything_is_built(told, tmp_path):
    site = tmp_path / "lab"
    shutil.copytree(told[0], site)
    shutil.rmtree(site / "data" / "digits-evaluation")
    a_dataset(site / "data" / "digits-evaluation", some_samples(400, classes=1))
    done = run_edgeform("build", str(site))
    assert done.returncode == 3
    assert "error: Data set unusable" in done.stderr
    assert "a network that always says so would pass" in done.stderr
    assert not list((site / ".edgeform" / "build").glob("edgeform-build-*"))


def test_a_machine_without_network_or_wheels_says_how_to_bring_them(told, tmp_path):
    (tmp_path / "wheels").mkdir()
    site = tmp_path / "lab"
    shutil.copytree(told[0], site)
    shutil.rmtree(site / ".edgeform" / "store" / "derivations")
    environment = {"EDGEFORM_BUILDERS": str(tmp_path / "builders")}
    wheels = str(tmp_path / "wheels")
    done = run_edgeform("build", str(site), "--wheelhouse", wheels, **environment)
    assert done.returncode == 13
    assert "Builder evaluate-onnxruntime cannot be made: the wheelhouse" in done.stderr
    assert "edgeform build --print-lock" in done.stderr
    assert [p.name for p in (tmp_path / "builders").iterdir() if p.suffix != ".lock"] == []
    assert built_in(site) == built_in(told[0])


def test_the_requirements_of_a_builder_can_be_printed():
    done = run_edgeform("build", "--print-lock", "onnx")
    assert done.returncode == 0
    assert "onnxruntime==" in done.stdout
    assert "--hash=sha256:" in done.stdout
    wrong = run_edgeform("build", "--print-lock", "onyx")
    assert wrong.returncode == 13
    assert "There are: litert, onnx, openvino" in wrong.stderr


def test_names_that_the_site_does_not_have_are_answered_with_the_nearest(told):
    site, _ = told
    done = run_edgeform("build", str(site), "digit")
    assert done.returncode == 64
    assert "Did you mean 'digits'?" in done.stderr
    other = run_edgeform("build", str(site), "--class", "lab-cpus")
    assert other.returncode == 64
    assert "Did you mean 'lab-cpu'?" in other.stderr
    wrong = run_edgeform("build", str(site), "--memory-limit", "much")
    assert wrong.returncode == 64


def test_a_class_gets_only_what_it_may_take(told):
    site, _ = told
    done = run_edgeform("build", str(site), "--class", "lab-cpu", "--explain", "-o", "json")
    assert len(json.loads(done.stdout)["variants"]) == 2


@pytest.mark.slow
def test_a_build_that_is_killed_poisons_nothing(tmp_path):
    need_builders("onnx")
    site = a_site(tmp_path / "lab", FP16)
    assert run_edgeform("lock", str(site)).returncode == 0
    store = site / ".edgeform" / "store"
    for wait_s in (1.0, 3.0, 5.0, 8.0, 12.0):
        command = (sys.executable, "-m", "edgeform", "build", str(site))
        with subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(wait_s)
            os.killpg(process.pid, signal.SIGKILL)
        records = list((store / "derivations").glob("*.json"))
        if records:
            break
        assert not built_in(site)
    done = run_edgeform("build", str(site), "-o", "json")
    assert done.returncode == 0, done.stderr
    (variant,) = json.loads(done.stdout)["variants"]
    assert variant["state"] in ("built", "cached")
    assert built_in(site)["onnx-fp16"]["digest"] == variant["artifact"]
    assert "damaged" not in os.listdir(store)


@pytest.mark.slow
def test_a_full_disk_is_told_and_leaves_the_store_as_it_was(tmp_path):
    """The store on a small file system: `.edgeform` is a tmpfs with too little room for an artifact."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    need_builders("onnx")
    site = a_site(tmp_path / "lab", FP16)
    assert run_edgeform("lock", str(site)).returncode == 0
    whole = site / ".edgeform" / "store"
    kept = shutil.copytree(whole, tmp_path / "kept")
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=1g", "none", str(whole)), check=True)
    try:
        shutil.copytree(kept, whole, dirs_exist_ok=True)
        status = os.statvfs(whole)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        smaller = f"remount,size={used + 100_000}"
        subprocess.run(("mount", "-o", smaller, str(whole)), check=True)
        done = run_edgeform("build", str(site))
        assert done.returncode == 13, done.stdout + done.stderr
        assert "disk is full" in done.stderr
        assert not built_in(site)
        assert list((whole / "derivations").glob("*.json")) == []
    finally:
        subprocess.run(("umount", str(whole)), check=True)
    done = run_edgeform("build", str(site))
    assert done.returncode == 0, done.stderr
