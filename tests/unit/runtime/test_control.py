"""Every operation of the control socket, on the real daemon with the real model."""

import json
import socket
import struct

import numpy as np
import pytest
from support.badmodels import break_model, nan_weights
from support.runtime import (
    MODEL,
    SCENES,
    a_pipeline_file,
    goldens,
    running,
    some_stages,
)

ENCODED = [c for c in goldens().cases if c.level == "encoded"]
TENSOR = [c for c in goldens().cases if c.level == "tensor"]


def described(case):
    return [{"name": t.name, "dtype": t.dtype, "shape": list(t.shape)} for t in case.inputs]


def body_of(case):
    return b"".join((MODEL / t.path).read_bytes() for t in case.inputs)


def reference(case, role="fp32"):
    return np.frombuffer((MODEL / getattr(case, role)[0].path).read_bytes(), "<f4")


def test_state_says_everything_the_interface_promises(daemon):
    state = daemon.state()
    assert (state.pop("thermal"), state.pop("shadow")) == (None, None)
    slot = state.pop("slots")["live"]
    assert slot.pop("grown_bytes") > 0
    assert slot == {
        "generation": 1,
        "generation_digest": a_pipeline_file().generation_digest,
        "model_ref": "digits@1.0.0/f32",
        "content": a_pipeline_file().content_digest,
        "effective": state["effective"],
    }
    assert state == {
        "ok": True,
        "pid": daemon.process.pid,
        "generation": 1,
        "model_ref": "digits@1.0.0/f32",
        "phase": "ready",
        "frames": {"captured": 0, "inferred": 0, "dropped": 0, "failed": 0},
        "effective": {
            "provider": "CPUExecutionProvider",
            "precision": "f32",
            "threads": 1,
            "device": "cpu",
            "delegate": None,
            "probe": "right on CPUExecutionProvider",
        },
        "last_error": None,
    }


@pytest.mark.parametrize("case", TENSOR, ids=lambda c: c.name)
def test_tensor_goldens_come_back_as_the_reference_network_gave_them(shared, case):
    with shared.control() as control:
        answer, body = control.ask(
            "infer", body_of(case), slot="live", level="tensor", inputs=described(case)
        )
    assert answer["ok"]
    assert answer["outputs"] == [{"name": "logits", "dtype": "float32", "shape": [1, 10]}]
    got = np.frombuffer(body, "<f4")
    assert np.abs(got - reference(case)).max() < 1e-4 * np.ptp(reference(case))
    assert str(got.argmax()) == case.label
    assert answer["wall_s"] > 0
    assert answer["cpu_s"] > 0
    assert "result" not in answer


@pytest.mark.parametrize("case", ENCODED, ids=lambda c: c.name)
def test_encoded_goldens_go_through_decoding_and_preprocessing(shared, case):
    with shared.control() as control:
        answer, body = control.ask(
            "infer", (MODEL / case.frame).read_bytes(), slot="live", level="encoded"
        )
    got = np.frombuffer(body, "<f4")
    assert np.abs(got - reference(case)).max() < 1e-4 * np.ptp(reference(case))
    best = answer["result"]["classes"][0]
    assert best["label"] == case.label
    powers = np.exp(got - got.max())
    assert best["score"] == pytest.approx(float((powers / powers.sum()).max()), abs=1e-5)


def test_encoded_and_tensor_level_agree_bit_by_bit(shared):
    from edgeform_runtime.pipeline import stages_of
    from edgeform_runtime.stages import preprocess

    content = (SCENES / "scene-02-digit-9.png").read_bytes()
    tensor = preprocess.apply(preprocess.decode(content), stages_of(some_stages()).preprocess)
    with shared.control() as control:
        _, encoded = control.ask("infer", content, slot="live", level="encoded")
        _, direct = control.ask(
            "infer",
            tensor.tobytes(),
            slot="live",
            level="tensor",
            inputs=[{"name": "image", "dtype": "float32", "shape": [1, 1, 64, 64]}],
        )
    assert encoded == direct


def test_warm_gives_the_seconds_of_each_run(shared):
    with shared.control() as control:
        seconds = control.ok("warm", slot="live", runs=4)["seconds"]
    assert len(seconds) == 4
    assert all(0 < s < 5 for s in seconds)


def put_second_generation(prefix, source=MODEL, **changes):
    prefix.put_model("trees/second", source)
    fields = {"generation": 2, "model_ref": "digits@1.1.0/f32", "model_tree": "trees/second"}
    return prefix.put_pipeline(a_pipeline_file(**(fields | changes)))


def test_hot_swap_goes_step_by_step_and_the_old_model_is_freed(prefix, daemon):
    path = put_second_generation(prefix)
    case = TENSOR[0]
    with daemon.control() as control:
        loaded = control.ok("load", pipeline_file=path)
        assert loaded["slot"] == "candidate"
        assert control.ok("state")["model_ref"] == "digits@1.0.0/f32"
        control.ok("warm", slot="candidate", runs=2)
        control.ok("infer", body_of(case), slot="candidate", level="tensor", inputs=described(case))
        control.ok("swap")
        state = control.ok("state")
        assert (state["model_ref"], state["generation"]) == ("digits@1.1.0/f32", 2)
        assert state["phase"] == "ready"
        control.ok("drain", timeout_s=5)
        assert control.ok("free", slot="previous")["freed"]
        assert not control.ok("free", slot="previous")["freed"]
        answer, _ = control.ask("swap")
        assert answer["error"]["summary"] == "slot candidate is empty"


def test_no_request_fails_while_models_are_swapped(prefix, daemon):
    import threading

    put_second_generation(prefix)
    first = prefix.put_pipeline(a_pipeline_file(generation=3, model_ref="digits@1.0.0/f32"))
    case, failures, done = TENSOR[0], [], threading.Event()

    def hammer():
        with daemon.control() as control:
            while not done.is_set():
                answer, _ = control.ask(
                    "infer", body_of(case), slot="live", level="tensor", inputs=described(case)
                )
                if not answer["ok"]:
                    failures.append(answer)

    threads = [threading.Thread(target=hammer) for _ in range(2)]
    for thread in threads:
        thread.start()
    with daemon.control() as control:
        for n in range(8):
            control.ok("load", pipeline_file="gen/2/pipelines/gate.json" if n % 2 == 0 else first)
            control.ok("swap")
            control.ok("drain", timeout_s=5)
            control.ok("free", slot="previous")
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_candidate_can_be_dropped_and_the_live_model_goes_on(prefix, daemon):
    path = put_second_generation(prefix)
    with daemon.control() as control:
        control.ok("load", pipeline_file=path)
        assert control.ok("free", slot="candidate")["freed"]
        answer, _ = control.ask("warm", slot="candidate", runs=1)
        assert answer["error"]["code"] == "request"
        control.ok("warm", slot="live", runs=1)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"model_tree": "trees/absent"}, "pipeline", "is not there"),
        ({"model_tree": "../elsewhere"}, "pipeline", "leads out of the prefix"),
        ({"runtime_tree": "trees/other"}, "needs_restart", "runtime closure"),
        ({"engine": "openvino"}, "needs_restart", "engine"),
        ({"secrets": ("token",)}, "needs_restart", "secrets"),
        (
            {"stages": some_stages(capture={"kind": "image_directory", "path": "in"})},
            "needs_restart",
            "capture",
        ),
        (
            {"stages": some_stages(preprocess=[{"kind": "resize", "width": 32, "height": 32}])},
            "pipeline",
            "does not fit the model",
        ),
        ({"stages": some_stages(postprocess={"kind": "pray"})}, "pipeline", "one of classify"),
    ],
)
def test_what_cannot_become_a_candidate_is_refused_and_live_goes_on(
    prefix, daemon, changes, code, words
):
    path = put_second_generation(prefix, **changes)
    with daemon.control() as control:
        answer, _ = control.ask("load", pipeline_file=path)
        assert not answer["ok"]
        assert answer["error"]["code"] == code
        assert words in answer["error"]["summary"]
        assert control.ok("state")["phase"] == "ready"


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "gen/9/none.json"])
def test_a_pipeline_file_outside_the_prefix_or_missing_is_refused(shared, path):
    with shared.control() as control:
        answer, _ = control.ask("load", pipeline_file=path)
    assert answer["error"]["code"] == "pipeline"


@pytest.mark.parametrize(
    ("fields", "body", "words"),
    [
        ({"slot": "live", "level": "tensor", "inputs": []}, b"", "input 'image' is missing"),
        (
            {
                "slot": "live",
                "level": "tensor",
                "inputs": [{"name": "image", "dtype": "float32", "shape": [1, 1, 64, 64]}],
            },
            b"1234",
            "needs 16384 bytes",
        ),
        (
            {
                "slot": "live",
                "level": "tensor",
                "inputs": [{"name": "image", "dtype": "float32", "shape": [1, 4]}],
            },
            bytes(17),
            "the body has 17 bytes",
        ),
        (
            {
                "slot": "live",
                "level": "tensor",
                "inputs": [{"name": "image", "dtype": "float32", "shape": [1, 1, 8, 8]}],
            },
            bytes(256),
            "the model takes float32[1, 1, 64, 64]",
        ),
        (
            {
                "slot": "live",
                "level": "tensor",
                "inputs": [{"name": "image", "dtype": "float32", "shape": [2**31]}],
            },
            b"",
            "is not an extent",
        ),
        ({"slot": "live", "level": "psychic"}, b"", "one of tensor, encoded"),
        ({"slot": "attic", "level": "encoded"}, b"x", "no slot 'attic'"),
        ({"slot": "live", "level": "encoded", "colour": "red"}, b"x", "unknown field 'colour'"),
        ({"slot": "live", "level": "encoded"}, b"no picture", "frame is none of PNG"),
    ],
)
def test_a_wrong_infer_request_is_refused_and_the_connection_stays(shared, fields, body, words):
    with shared.control() as control:
        answer, _ = control.ask("infer", body, **fields)
        assert not answer["ok"]
        assert words in answer["error"]["summary"]
        control.ok("state")


def test_unknown_operations_name_those_there_are(shared):
    with shared.control() as control:
        answer, _ = control.raw({"op": "reboot"})
        assert (
            "drain, dump, features, figures, free, infer, load, state, swap, warm"
            in answer["error"]["summary"]
        )
        answer, _ = control.raw({})
        assert answer["error"]["code"] == "unknown_op"


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("<I", 2**31),
        struct.pack("<I", 4) + b"nope",
        struct.pack("<I", 2) + b"[]",
        struct.pack("<I", 13) + b'{"op":"state"',
        struct.pack("<I", 18) + b'{"body_bytes":"x"}',
        struct.pack("<I", 34) + b'{"op":"infer","body_bytes":1e99999}'[:34],
        struct.pack("<I", 40) + b'{"op":"infer","body_bytes":999999999999}',
    ],
)
def test_a_malformed_frame_is_answered_and_closes_only_its_connection(shared, sent):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        sock.connect(shared.socket_path)
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: sock.recv(65536), b""))
    (length,) = struct.unpack("<I", received[:4])
    answer = json.loads(received[4 : 4 + length])
    assert answer["ok"] is False
    assert answer["error"]["code"] == "frame"
    assert shared.state()["phase"] == "ready"


def test_seventeen_connections_are_one_too_many(daemon):
    clients = []
    try:
        for _ in range(16):
            with_state = daemon.control()
            client = with_state.__enter__()
            client.ok("state")
            clients.append((with_state, client))
        with daemon.control() as one_too_many:
            from edgeform_wire import frames

            answer = frames.read(one_too_many._stream, 1024)
            assert answer[0]["error"]["code"] == "busy"
    finally:
        for with_state, _ in clients:
            with_state.__exit__(None, None, None)
    daemon.wait_for(lambda state: state["phase"] == "ready")


def test_a_model_of_nans_gives_raw_tensors_and_no_result(prefix, tmp_path):
    prefix.put_model(source=break_model(MODEL, tmp_path / "bad", nan_weights))
    with (
        running(prefix, prefix.put_pipeline(a_pipeline_file())) as daemon,
        daemon.control() as control,
    ):
        answer, body = control.ask(
            "infer", (MODEL / ENCODED[0].frame).read_bytes(), slot="live", level="encoded"
        )
    assert answer["ok"]
    assert answer["result"] is None
    assert answer["result_error"] == "the model's scores are not finite"
    assert np.isnan(np.frombuffer(body, "<f4")).any()


def test_drain_without_a_swap_brings_the_process_to_rest(daemon):
    with daemon.control() as control:
        control.ok("drain", timeout_s=5)
        assert control.ok("state")["phase"] == "draining"
    status, _, body = daemon.http().post(
        "/v1/frames", (SCENES / "scene-00-digit-8.png").read_bytes()
    )
    assert status == 503
    assert b"draining" in body


def test_the_socket_is_for_its_owner_only(shared):
    import os
    import stat

    assert stat.S_IMODE(os.stat(shared.socket_path).st_mode) == 0o600
