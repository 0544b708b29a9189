"""Capture files for tests, and a pipeline that makes them."""

import io
from dataclasses import replace

from edgeform_wire import capture, capture_reader
from edgeform_wire.capture import About, Kept, Model, Output

DIGEST = "sha256:" + "ab" * 32


def an_about(**changes):
    base = About(
        site="lab",
        device="cam-01",
        pipeline="gate",
        reason="request",
        detail="",
        made_at=1_795_000_000.0,
        runtime_version="1.0.0",
        masks={},
    )
    return replace(base, **changes)


def a_model(**changes):
    base = Model(
        generation=3,
        generation_digest=DIGEST,
        model_ref="digits@1.0.0/f32",
        model_digest=DIGEST,
        runtime_digest=None,
        engine="onnxruntime",
        engine_version="1.32.0",
        effective={"provider": "CPUExecutionProvider"},
        preprocess_digest=DIGEST,
        stages={
            "media": "picture",
            "preprocess": [],
            "infer": {},
            "postprocess": {"kind": "classify"},
            "runtime": {},
        },
    )
    return replace(base, **changes)


def a_kept(sequence=1, **changes):
    base = Kept(
        sequence=sequence,
        name=f"frame-{sequence}.png",
        source="capture",
        captured_at=1_795_000_000.0 + sequence,
        is_masked=False,
        tensor_digest=DIGEST,
        result={"kind": "classify", "classes": []},
        infer_s=0.001,
        content=b"pixels" * sequence,
        outputs=(Output("logits", "float32", (1, 2), b"12345678"),),
    )
    return replace(base, **changes)


def written(*records):
    """The bytes of a capture with these records."""
    stream = io.BytesIO()
    writer = capture.Writer(stream)
    for record in records or (an_about(), a_model(), a_kept(1), a_kept(2)):
        if isinstance(record, About):
            writer.about(record)
        elif isinstance(record, Model):
            writer.model(record)
        else:
            writer.kept(record)
    writer.end()
    return stream.getvalue()


def read(content):
    return list(capture_reader.read(io.BytesIO(content)))
