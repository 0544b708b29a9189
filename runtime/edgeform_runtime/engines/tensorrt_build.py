"""Builds a model's TensorRT engine on this device, as a process that can be watched and ended.

    python3 -s -m edgeform_runtime.engines.tensorrt_build --model FILE --cache DIR --precision f16

Lines of JSON on stdout: `estimate` first, `progress` as it goes, `built` or `failed` last. With `--describe`
nothing is built. The probe model's engine is built along: without it nothing is opened here.
"""

import argparse
import json
import sys
import time
from typing import Any

from edgeform_runtime import onnxfile
from edgeform_runtime.engines import engine_of, probe, tensorrt_cache
from edgeform_runtime.errors import RuntimeFault


def main() -> int:
    parser = argparse.ArgumentParser(prog="edgeform_runtime.engines.tensorrt_build")
    parser.add_argument("--model", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--describe", action="store_true")
    given = parser.parse_args()
    try:
        return _build(given.model, given.cache, given.precision, is_asked=given.describe)
    except RuntimeFault as exc:
        _say("failed", code=exc.code, summary=exc.summary)
        return 3
    except OSError as exc:
        _say("failed", code="disk", summary=f"{exc.strerror}: {exc.filename}")
        return 3


def _build(path: str, cache: str, precision: str, *, is_asked: bool) -> int:
    engine: Any = engine_of("tensorrt")
    from edgeform_runtime.engines import tensorrt  # noqa: PLC0415 - only where the system has it

    tensorrt.check_precision(precision, onnxfile.inspect(path))
    with open(path, "rb") as stream:
        content = stream.read()
    key = engine.origin(content, precision).key
    known = tensorrt_cache.lookup(cache, key)
    _say(
        "estimate",
        key=key,
        is_cached=known is not None,
        seconds=0.0 if known else tensorrt_cache.estimate_s(cache, len(content)),
    )
    if is_asked:
        return 0
    _ensured(engine, probe.ONNX_MODEL, cache, precision, is_told=False)
    built = _ensured(engine, content, cache, precision, is_told=True)
    _say("built", key=key, digest=built.digest, size_bytes=built.size_bytes, seconds=built.seconds)
    return 0


def _ensured(
    engine: Any, content: bytes, cache: str, precision: str, *, is_told: bool
) -> tensorrt_cache.Built:
    key = engine.origin(content, precision).key
    known = tensorrt_cache.lookup(cache, key)
    if known is not None:
        try:
            tensorrt_cache.content(cache, key)
        except RuntimeFault:
            pass  # damaged: built again
        else:
            return known
    started = time.monotonic()

    def progress(phase: str, done: int, of: int) -> None:
        if is_told:
            seconds = round(time.monotonic() - started, 1)
            _say("progress", phase=phase, done=done, of=of, seconds=seconds)

    plan = engine.build(content, precision, progress)
    return tensorrt_cache.keep(
        cache, key, plan, onnx_bytes=len(content), seconds=time.monotonic() - started
    )


def _say(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
