"""One example of every document of the wire, for golden files; runs bare on Python 3.8 too."""

import io
from dataclasses import replace

from edgeform_wire import (
    artifact,
    bundle,
    canonical,
    deployment,
    finding,
    frames,
    generation,
    golden,
    pipeline,
    receipt,
    sealed,
)
from edgeform_wire.digest import of_bytes

MODEL = of_bytes(b"model")
RUNTIME = of_bytes(b"runtime")
TOOL = of_bytes(b"tool")
STAGES = {
    "capture": {
        "kind": "image_directory",
        "path": "/srv/frames",
        "pattern": "*.png",
        "interval_s": 1.0,
        "after": "keep",
    },
    "preprocess": [
        {"kind": "resize", "width": 32, "height": 32, "filter": "bilinear", "mode": "stretch"},
        {"kind": "colour", "to": "grey"},
        {"kind": "normalise", "scale": 0.00392156862745098, "mean": [0.5], "std": [0.5]},
        {"kind": "layout", "order": "nchw"},
    ],
    "infer": {
        "kind": "infer",
        "model": "digits",
        "timeout_s": 5.0,
        "queue": 2,
        "when_full": "drop_oldest",
    },
    "postprocess": {
        "kind": "classify",
        "top_k": 3,
        "softmax": True,
        "labels": "labels.txt",
        "threshold": 0.5,
    },
    "action": [
        {
            "kind": "store",
            "directory": "results",
            "max_bytes": 67108864,
            "max_age_s": 604800.0,
            "frames": "none",
        }
    ],
    "report": [{"kind": "json_lines", "every_s": 60.0}],
    "serving": {"address": "127.0.0.1", "port": 8080},
    "runtime": {"threads": 1, "provider": "CPUExecutionProvider", "precision": "f32"},
}


def an_artifact(**changed):
    base = artifact.Artifact(
        kind="model",
        name="digits",
        version="1.0.0",
        variant="cpu-f32",
        epoch=3,
        requires=artifact.Requires(arch="aarch64", accelerator="cpu"),
        files=(
            artifact.ArtifactFile(
                path="golden/index.json", size_bytes=2, mode="0644", digest=of_bytes(b"{}")
            ),
            artifact.ArtifactFile(
                path="model.onnx", size_bytes=5, mode="0644", digest=of_bytes(b"onnx!")
            ),
        ),
        metadata={
            "entry": "model.onnx",
            "engine": "onnxruntime",
            "precision": "f32",
            "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 1, 32, 32]}],
            "outputs": [{"name": "y", "dtype": "float32", "shape": [1, 10]}],
            "measures": {"accuracy": 0.981},
        },
        sbom=of_bytes(b"sbom"),
    )
    return replace(base, **changed)


def a_generation(**changed):
    base = generation.Generation(
        site="lab",
        device="cam-01",
        artifacts=(
            generation.ArtifactRef(
                digest=MODEL,
                kind="model",
                name="digits",
                version="1.0.0",
                variant="cpu-f32",
                size_bytes=1250000,
                epoch=3,
            ),
            generation.ArtifactRef(
                digest=RUNTIME,
                kind="runtime",
                name="onnxruntime",
                version="1.24.1",
                variant="aarch64-glibc2.28-py3.11",
                size_bytes=58000000,
                epoch=1,
            ),
        ),
        pipelines=(
            generation.PipelineUse(
                name="digits",
                runtime=RUNTIME,
                model=MODEL,
                engine="onnxruntime",
                stages=STAGES,
                checks={
                    "golden": True,
                    "p50_ms": 20.0,
                    "rss_bytes": 300000000,
                    "rss_slope_bytes": None,
                    "provider": "CPUExecutionProvider",
                    "min_free_disk_bytes": None,
                },
                limits={"memory_bytes": 400000000, "cpu_percent": None},
                secrets=("mqtt",),
            ),
        ),
        secrets=(generation.SecretUse(name="mqtt", hmac="hmac-sha256:" + "5" * 64),),
    )
    return replace(base, **changed)


def a_deployment(**changed):
    base = deployment.Deployment(
        site="lab",
        device="cam-01",
        number=8,
        base=deployment.Base(generation=41, digest=of_bytes(b"generation 41")),
        generation=a_generation(),
        policy=deployment.Policy(confirm="controller", tool=TOOL),
        plan_digest=of_bytes(b"plan"),
        spec_digest=of_bytes(b"spec"),
        lock_digest=of_bytes(b"lock"),
        issued_at="2026-03-01T10:00:00Z",
    )
    return replace(base, **changed)


def a_receipt(**changed):
    base = receipt.Receipt(
        site="lab",
        device="cam-01",
        seq=1,
        prev=receipt.GENESIS,
        transaction="t-0001",
        road="ssh",
        deployment=8,
        plan_digest=of_bytes(b"plan"),
        from_generation=41,
        to_generation=42,
        digest=a_generation().digest,
        result="rolled_back",
        reason="digits: golden 14 of 20",
        checks=(
            receipt.CheckResult(
                name="golden",
                pipeline="digits",
                verdict="fail",
                detail="14 of 20 within tolerance",
                measured={"passed": 14, "cases": 20, "sqnr_db": 11.5},
            ),
        ),
        seconds={"stage": 1.5, "switch": 0.25, "soak": 2.0},
        derived={"trt-1": of_bytes(b"engine")},
        tool="0.1.0",
        boot_id="b-1",
        wall_time="2026-03-01T10:00:09Z",
        clock="ntp",
        signing="openssl",
    )
    return replace(base, **changed)


def a_signed_receipt():
    return receipt.SignedReceipt(receipt=a_receipt(), signature=b"\x30\x06\x02\x01\x01\x02\x01\x01")


def a_signed_finding():
    found = finding.Finding(
        site="lab", device="cam-01", seq=1, prev=receipt.GENESIS, first="2026-11-28T10:00:00Z",
        last="2026-11-28T11:00:00Z", times=5, clock="ntp", generation=42, digest=of_bytes(b"manifest"),
        drift=({"kind": "file", "path": "trees/x/labels.txt", "expected": "a", "actual": "b"},),
        health=(), needs_hands="", signing="openssl",
    )  # fmt: skip
    return finding.SignedFinding(finding=found, signature=b"\x30\x06\x02\x01\x01\x02\x01\x01")


def some_findings():
    """A `drift.json`, as a device leaves it on a stick."""
    return canonical.encode(
        {"schema": bundle.FINDINGS_SCHEMA, "kept": [a_signed_finding().to_json()]}
    )


def some_sealed_secrets():
    return sealed.Sealed(
        site="lab",
        device="cam-01",
        key=of_bytes(b"key"),
        secrets=(sealed.SealedSecret(name="camera", hmac="hmac-sha256:00", message=b"\x30\x00"),),
    )


def a_golden_set():
    tensor = golden.Tensor(name="y", dtype="float32", shape=(1, 10), path="golden/0001.y.bin")
    return golden.GoldenSet(
        precision="f32",
        engine="onnxruntime",
        engine_version="1.24.1",
        cases=(
            golden.Case(
                name="seven",
                level="encoded",
                inputs=(),
                frame="golden/0001.png",
                variant=(tensor,),
                fp32=(tensor,),
                label="7",
            ),
            golden.Case(
                name="zeros",
                level="tensor",
                inputs=(
                    golden.Tensor(
                        name="x", dtype="uint8", shape=(1, 1, 32, 32), path="golden/0002.x.bin"
                    ),
                ),
                frame=None,
                variant=(tensor,),
                fp32=(),
                label=None,
            ),
        ),
    )


def a_pipeline_file():
    return pipeline.PipelineFile(
        name="digits",
        site="lab",
        device="cam-01",
        generation=42,
        generation_digest=a_generation().digest,
        model_ref="digits@1.0.0 cpu-f32",
        runtime_tree="trees/" + RUNTIME[7:],
        model_tree="trees/" + MODEL[7:],
        engine="onnxruntime",
        stages=STAGES,
        secrets=("mqtt",),
    )


def a_frame():
    stream = io.BytesIO()
    frames.write(stream, {"op": "infer", "slot": "live"}, (b"\x00\x01", b"\x02"), 3)
    return stream.getvalue()


def _line(document):
    return receipt.decode_line(document).encoded_line()


def _frame_again(document):
    header, body = frames.read(io.BytesIO(document), 1000)
    stream = io.BytesIO()
    frames.write(stream, header, (body,), len(body))
    return stream.getvalue()


EXAMPLES = {
    "artifact.json": (lambda: an_artifact().encoded(), lambda b: artifact.decode(b).encoded()),
    "generation.json": (
        lambda: a_generation().encoded(),
        lambda b: generation.decode(b).encoded(),
    ),
    "deployment.json": (
        lambda: a_deployment().encoded(),
        lambda b: deployment.decode(b).encoded(),
    ),
    "receipts.jsonl": (lambda: a_signed_receipt().encoded_line(), _line),
    "finding.jsonl": (
        lambda: a_signed_finding().encoded_line(),
        lambda b: finding.decode_line(b).encoded_line(),
    ),
    "sealed.json": (
        lambda: some_sealed_secrets().encoded(),
        lambda b: sealed.decode(b).encoded(),
    ),
    "golden.json": (lambda: a_golden_set().encoded(), lambda b: golden.decode(b).encoded()),
    "pipeline.json": (lambda: a_pipeline_file().encoded(), lambda b: pipeline.decode(b).encoded()),
    "frame.bin": (a_frame, _frame_again),
}
"""File name below tests/golden/wire/ -> (how its bytes are made, how they are read and written again)."""
