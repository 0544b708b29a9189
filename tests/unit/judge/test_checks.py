"""The judge against runtimes that are right, wrong, silent or lying."""

import os
import struct

import pytest
from support.socket_runtime import SocketRuntime

from edgeform_device import checks
from edgeform_device.figures import Watch
from edgeform_device.subject import Previous, Subject
from edgeform_wire import golden
from edgeform_wire.generation import PipelineUse

DIGEST = "sha256:" + "0" * 64


def pack(values):
    return struct.pack(f"<{len(values)}f", *values)


def softmax_like(values):
    """The network under test: something with a clear best class for every input used here."""
    total = sum(values) or 1.0
    return [v / total + 0.1 * n for n, v in enumerate(values)]


INPUTS = ([1.0, 2.0, 3.0, 9.0], [9.0, 1.0, 2.0, 3.0], [1.0, 9.0, 3.0, 2.0])


@pytest.fixture
def model_tree(tmp_path):
    tree = tmp_path / "model"
    (tree / "golden").mkdir(parents=True)
    cases = []
    for n, values in enumerate(INPUTS):
        (tree / f"golden/{n}.in").write_bytes(pack(values))
        (tree / f"golden/{n}.out").write_bytes(pack(softmax_like(values)))
        output = golden.Tensor("y", "float32", (1, 4), f"golden/{n}.out")
        cases.append(
            golden.Case(
                name=f"case{n}",
                level="tensor",
                inputs=(golden.Tensor("x", "float32", (1, 4), f"golden/{n}.in"),),
                frame=None,
                variant=(output,),
                fp32=(output,),
                label=None,
            )
        )
    (tree / "golden/frame.png").write_bytes(b"frame")
    cases.append(
        golden.Case(
            name="seen",
            level="encoded",
            inputs=(),
            frame="golden/frame.png",
            variant=(golden.Tensor("y", "float32", (1, 4), "golden/0.out"),),
            fp32=(),
            label="three",
        )
    )
    found = golden.GoldenSet("f32", "onnxruntime", "1.0", tuple(cases))
    (tree / golden.INDEX_PATH).write_bytes(found.encoded())
    return tree


class Runtime:
    """A right runtime, whose pieces a test replaces to make it wrong."""

    provider = "CPUExecutionProvider"
    precision = "f32"
    threads = 1
    probe = "right on CPUExecutionProvider"
    phase = "ready"
    label = "three"
    generation = 7

    def state(self):
        return {
            "ok": True,
            "pid": os.getpid(),
            "generation": self.generation,
            "phase": self.phase,
            "frames": {},
            "effective": {
                "provider": self.provider,
                "precision": self.precision,
                "threads": self.threads,
                "probe": self.probe,
            },
            "last_error": None,
        }

    def network(self, values):
        return softmax_like(values)

    def shape(self, outputs):
        return [1, len(outputs)]

    def __call__(self, header, body):
        if header["op"] == "state":
            return self.state(), b""
        values = INPUTS[0] if header["level"] == "encoded" else struct.unpack("<4f", body)
        outputs = self.network(list(values))
        described = [{"name": "y", "dtype": "float32", "shape": self.shape(outputs)}]
        answer = {"ok": True, "outputs": described}
        if header["level"] == "encoded":
            answer["result"] = {
                "kind": "classify",
                "classes": [{"label": self.label, "score": 0.9}],
            }
        return answer, pack(outputs)


@pytest.fixture
def judged(tmp_path, model_tree):
    servers = []

    def judge(runtime, pause=lambda s: None, **wanted):
        path = tmp_path / f"{len(servers)}.sock"
        servers.append(SocketRuntime(path, runtime))
        stages = {"runtime": {"threads": 1, "precision": "f32", "provider": None}}
        use = PipelineUse("gate", DIGEST, DIGEST, "onnxruntime", stages, wanted, {})
        subject = Subject(use, str(model_tree), str(path), os.getpid(), generation=7)
        found = checks.run_checks(subject, Watch(pause=pause))
        return {r.name: r for r in found}, checks.is_acceptable(found)

    yield judge
    for server in servers:
        server.close()


def test_a_right_runtime_is_accepted(judged):
    results, acceptable = judged(Runtime(), golden=True, provider="CPUExecutionProvider")
    assert acceptable
    assert results["golden"].verdict == "pass"
    assert results["golden"].measured["cases"] == 4


def wrong(**methods):
    return type("Wrong", (Runtime,), methods)()


@pytest.mark.parametrize(
    ("mutant", "check", "sentence"),
    [
        (wrong(network=lambda s, v: [float("nan")] * 4), "golden", "not finite"),
        (wrong(network=lambda s, v: [0.25] * 4), "golden", "constant"),
        (wrong(network=lambda s, v: softmax_like(v)[::-1]), "golden", "best class is another"),
        (wrong(network=lambda s, v: [1.02 * x for x in softmax_like(v)]), "golden", "deviates by"),
        (wrong(network=lambda s, v: [*softmax_like(v), 0.0]), "golden", "is float32|is \\[1, 5\\]"),
        (wrong(label="four"), "golden", "the reference says 'three'"),
        (wrong(provider="CUDAExecutionProvider"), "provider", "the class demands"),
        (wrong(precision="bf16"), "configuration", "computes in bf16, the class demands f32"),
        (wrong(threads=2), "configuration", "runs with 2 threads, 1 are allowed"),
        (wrong(probe=""), "configuration", "self test says ''"),
        (wrong(phase="failed"), "service", "phase is 'failed'"),
        (wrong(generation=6), "service", "answers for generation 6"),
    ],
)
def test_a_wrong_runtime_is_caught_by_the_check_that_is_there_for_it(
    judged, mutant, check, sentence
):
    results, acceptable = judged(mutant, golden=True, provider="CPUExecutionProvider")
    assert not acceptable
    assert results[check].verdict == "fail"
    import re

    assert re.search(sentence, results[check].detail), results[check].detail


@pytest.mark.parametrize(("computes_in", "verdict"), [("f16", "pass"), ("bf16", "fail")])
def test_a_signed_half_precision_file_is_a_choice_and_any_other_narrowing_is_not(
    judged, model_tree, computes_in, verdict
):
    index = model_tree / golden.INDEX_PATH
    cases = golden.decode(index.read_bytes()).cases
    index.write_bytes(golden.GoldenSet("f16", "onnxruntime", "1.0", cases).encoded())
    results, _ = judged(wrong(precision=computes_in), golden=True)
    assert results["configuration"].verdict == verdict, results["configuration"]


def test_a_claimed_accelerator_without_its_library_is_a_lie(judged):
    results, acceptable = judged(
        wrong(provider="CUDAExecutionProvider"), golden=True, provider="CUDAExecutionProvider"
    )
    assert not acceptable
    assert "is not loaded" in results["provider"].detail


def test_another_process_on_the_socket_is_not_the_service(judged):
    class Elsewhere(Runtime):
        def state(self):
            return dict(super().state(), pid=1)

    results, acceptable = judged(Elsewhere(), golden=True)
    assert not acceptable
    assert "the service is pid" in results["service"].detail


def test_a_runtime_that_always_says_pass_is_caught(judged):
    class Flatterer(Runtime):
        def __call__(self, header, body):
            header, body = super().__call__(header, body)
            return dict(header, verdict="pass", checks=[{"golden": "pass"}]), body

        def network(self, values):
            return [0.1, 0.2, 0.3, 0.4]

    assert not judged(Flatterer(), golden=True)[1]


def test_an_answer_that_changes_from_call_to_call_is_no_function(judged):
    class Drifting(Runtime):
        calls = 0

        def network(self, values):
            self.calls += 1
            return [x + (0.01 if self.calls > 5 else 0.0) for x in softmax_like(values)]

    results, acceptable = judged(Drifting(), golden=True)
    assert not acceptable
    assert "repeated" in results["repeat"].detail


def test_a_silent_socket_fails_the_service_check(tmp_path, model_tree):
    use = PipelineUse("gate", DIGEST, DIGEST, "onnxruntime", {}, {"golden": True}, {})
    found = checks.run_checks(Subject(use, str(model_tree), str(tmp_path / "none"), os.getpid()))
    assert [(r.name, r.verdict) for r in found] == [("service", "fail")]


def test_missing_goldens_prove_nothing_and_fail(judged, model_tree):
    (model_tree / golden.INDEX_PATH).unlink()
    results, acceptable = judged(Runtime(), golden=True)
    assert not acceptable
    assert "no usable goldens" in results["golden"].detail


def test_a_slow_model_fails_by_its_cpu_time(judged):
    def burn(self, values):
        import time

        end = time.thread_time() + 0.004
        while time.thread_time() < end:
            pass
        return softmax_like(values)

    results, acceptable = judged(wrong(network=burn), golden=True, p50_ms=1.0)
    assert results["latency"].verdict == "fail"
    assert not acceptable


def test_a_busy_device_is_inconclusive_and_keeps_serving(judged):
    import time

    def wait(self, values):
        time.sleep(0.004)
        return softmax_like(values)

    results, acceptable = judged(wrong(network=wait), golden=True, p50_ms=3.0)
    assert results["latency"].verdict == "inconclusive"
    assert acceptable


def test_memory_above_its_limit_fails(judged):
    results, acceptable = judged(Runtime(), golden=True, rss_bytes=1)
    assert results["memory"].verdict == "fail"
    assert not acceptable


def test_too_little_disk_fails(model_tree, tmp_path):
    use = PipelineUse("gate", DIGEST, DIGEST, "onnxruntime", {}, {"min_free_disk_bytes": 10}, {})
    subject = Subject(use, str(model_tree), str(tmp_path / "none"), 1, free_disk_bytes=9)
    assert ("disk", "fail") in [(r.name, r.verdict) for r in checks.run_checks(subject)]


def test_what_the_process_does_by_itself_is_not_held_against_the_model(judged):
    """A pipeline under traffic spends CPU time of its own; only what our questions add is the model's."""
    import threading
    import time

    ended = threading.Event()

    def busy():
        while not ended.is_set():
            end = time.thread_time() + 0.002
            while time.thread_time() < end:
                pass
            time.sleep(0.002)

    def wait(self, values):
        time.sleep(0.006)
        return softmax_like(values)

    thread = threading.Thread(target=busy, daemon=True)
    thread.start()
    try:
        results, acceptable = judged_with_pauses(judged, wrong(network=wait))
    finally:
        ended.set()
        thread.join()
    assert results["latency"].verdict == "inconclusive", results["latency"]
    assert acceptable


def judged_with_pauses(judged, runtime):
    import time

    return judged(runtime, pause=time.sleep, golden=True, p50_ms=2.5)


class WithInputs(Runtime):
    """A runtime that shows what its preprocessing made of a frame."""

    made = (0.0, 1.0)

    def state(self):
        return dict(
            super().state(),
            slots={"live": {"generation": 7, "effective": super().state()["effective"]}},
        )

    def __call__(self, header, body):
        answer, content = super().__call__(header, body)
        if header.get("shows_inputs"):
            answer["inputs"] = [{"name": "x", "dtype": "float32", "shape": [1, 2]}]
            content += pack(self.made)
        return answer, content


def test_a_frame_that_preprocessing_turns_into_nan_is_caught(judged):
    assert judged(WithInputs(), golden=True)[1]

    class Spoiled(WithInputs):
        made = (0.0, float("nan"))

    results, acceptable = judged(Spoiled(), golden=True)
    assert not acceptable
    assert "seen: input 'x' is not finite" in results["golden"].detail


def test_a_golden_whose_own_input_is_not_finite_is_no_golden(judged, model_tree):
    (model_tree / "golden/1.in").write_bytes(pack([1.0, float("nan"), 2.0, 3.0]))
    results, acceptable = judged(Runtime(), golden=True)
    assert not acceptable
    assert "input 'x' is not finite" in results["golden"].detail


def test_the_generation_before_answers_the_same_inputs_on_the_same_device(tmp_path, model_tree):
    servers = [SocketRuntime(tmp_path / f"{n}.sock", Runtime()) for n in ("old", "new")]
    use = PipelineUse("gate", DIGEST, DIGEST, "onnxruntime", {}, {"golden": True}, {})
    before = Previous(str(tmp_path / "old.sock"), str(model_tree), os.getpid())
    path = str(tmp_path / "new.sock")
    subject = Subject(use, str(model_tree), path, os.getpid(), previous=before)
    found = {r.name: r for r in checks.run_checks(subject, Watch(pause=lambda s: None))}
    for server in servers:
        server.close()
    assert found["previous"].verdict == "pass"
    assert found["previous"].measured["answers_asked"] == 3
    assert found["previous"].measured["answers_agreed"] == 3


def test_a_generation_before_that_does_not_answer_is_left_out_and_said(tmp_path, model_tree):
    server = SocketRuntime(tmp_path / "new.sock", Runtime())
    use = PipelineUse("gate", DIGEST, DIGEST, "onnxruntime", {}, {"golden": True}, {})
    before = Previous(str(tmp_path / "gone.sock"), str(model_tree), os.getpid())
    subject = Subject(
        use, str(model_tree), str(tmp_path / "new.sock"), os.getpid(), previous=before
    )
    found = {r.name: r for r in checks.run_checks(subject, Watch(pause=lambda s: None))}
    server.close()
    assert found["previous"].verdict == "skipped"
    assert checks.is_acceptable(tuple(found.values()))
