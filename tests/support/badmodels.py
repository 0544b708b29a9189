"""Broken variants of a good model: valid ONNX files beside goldens that were made with the good one.

Each takes the good model's directory and an empty one, and writes there what a careless or malicious
publisher would: labels, goldens, and a `model.onnx` that loads and runs and is wrong.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeform.build import goldens as build_goldens
from edgeform.build.shadow import shadow
from edgeform_wire import golden

Breaker = Callable[[onnx.ModelProto], None]


def break_model(good: Path, out: Path, breaker: Breaker) -> Path:
    """The good directory copied to `out`, its model broken; the file is checked to be valid ONNX."""
    shutil.copytree(good, out, dirs_exist_ok=True)
    model = onnx.load(good / "model.onnx")
    breaker(model)
    onnx.checker.check_model(model)
    onnx.save(model, out / "model.onnx")
    return out


def wrong_normalisation(model: onnx.ModelProto) -> None:
    """Expects pixels from 0 to 1 where the pipeline gives them centred: x * 0.25 + 0.5 is put in front."""
    entry = model.graph.input[0].name
    _add_weights(model, bad_scale=np.float32(0.25), bad_shift=np.float32(0.5))
    for node in model.graph.node:
        for n, name in enumerate(node.input):
            if name == entry:
                node.input[n] = "bad_shifted"
    front = (
        helper.make_node("Mul", [entry, "bad_scale"], ["bad_scaled"]),
        helper.make_node("Add", ["bad_scaled", "bad_shift"], ["bad_shifted"]),
    )
    for n, node in enumerate(front):
        model.graph.node.insert(n, node)


def swapped_labels(model: onnx.ModelProto) -> None:
    """Classes 3 and 8 answer for each other."""
    order = np.arange(10)
    order[[3, 8]] = [8, 3]
    _add_weights(model, bad_order=order.astype(np.int64))
    inner = _rename_output(model)
    output = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Gather", [inner, "bad_order"], [output], axis=1))


def nan_weights(model: onnx.ModelProto) -> None:
    """One weight of the first convolution is not a number."""
    _change(model, 0, lambda weights: _with(weights, 0, np.nan))


def wrong_scale(model: onnx.ModelProto) -> None:
    """A scale error as a careless quantisation makes it: one layer's weights are 10 % too large."""
    _change(model, len(_large(model)) // 2, lambda weights: weights * np.float32(1.1))


def wrong_shape(model: onnx.ModelProto) -> None:
    """The logits come without their batch dimension."""
    _add_weights(model, bad_shape=np.array([10], np.int64))
    inner = _rename_output(model)
    output = model.graph.output[0]
    model.graph.node.append(helper.make_node("Reshape", [inner, "bad_shape"], [output.name]))
    del output.type.tensor_type.shape.dim[0]


def flipped_weights(model: onnx.ModelProto, share: float = 0.01, seed: int = 1) -> None:
    """One in a hundred weights of every layer has the other sign."""
    rng = np.random.default_rng(seed)

    def flip(weights: np.ndarray) -> np.ndarray:
        chosen = rng.random(weights.shape) < share
        chosen.flat[int(rng.integers(weights.size))] = True
        return np.where(chosen, -weights, weights)

    for n in range(len(_large(model))):
        _change(model, n, flip)


def too_slow(model: onnx.ModelProto, rounds: int = 150, side: int = 384) -> None:
    """Right answers, hundreds of times too late: a loop of matrix products that adds nothing in the end.

    Nothing can be optimised away, since the matrix comes from the input; tanh keeps it bounded.
    """
    entry = model.graph.input[0].name
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["matrix", "matrix"], ["product"]),
            helper.make_node("Tanh", ["product"], ["bounded"]),
        ],
        "busy",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("matrix", TensorProto.FLOAT, [side, side]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("bounded", TensorProto.FLOAT, [side, side]),
        ],
    )
    _add_weights(
        model,
        slow_shape=np.array([64, 64], np.int64),
        slow_tiles=np.array([side // 64, side // 64], np.int64),
        slow_rounds=np.array(rounds, np.int64),
        slow_go=np.array(True),
        slow_zero=np.float32(0.0),
    )
    inner = _rename_output(model)
    model.graph.node.extend(
        [
            helper.make_node("Reshape", [entry, "slow_shape"], ["slow_tile"]),
            helper.make_node("Tile", ["slow_tile", "slow_tiles"], ["slow_start"]),
            helper.make_node(
                "Loop", ["slow_rounds", "slow_go", "slow_start"], ["slow_end"], body=body
            ),
            helper.make_node("ReduceMean", ["slow_end"], ["slow_mean"], keepdims=0),
            helper.make_node("Mul", ["slow_mean", "slow_zero"], ["slow_nothing"]),
            helper.make_node("Add", [inner, "slow_nothing"], [model.graph.output[0].name]),
        ]
    )


def swapped_label_file(good: Path, out: Path) -> Path:
    """The model is right, but labels.txt names 3 and 8 the other way round."""
    shutil.copytree(good, out, dirs_exist_ok=True)
    labels = (good / "labels.txt").read_text().splitlines()
    labels[3], labels[8] = labels[8], labels[3]
    (out / "labels.txt").write_text("\n".join(labels) + "\n")
    return out


WRONG: dict[str, Breaker] = {
    "wrong_normalisation": wrong_normalisation,
    "swapped_labels": swapped_labels,
    "nan_weights": nan_weights,
    "wrong_scale": wrong_scale,
    "wrong_shape": wrong_shape,
    "flipped_weights": flipped_weights,
}
"""Breakers whose answers are wrong; `too_slow` is right and late."""


def with_own_goldens(directory: Path, stages: dict[str, object]) -> Path:
    """Re-record the `variant` answers with the broken model itself: only the FP32 reference tells.

    This is what a publisher makes whose tool chain is wrong from end to end. `complete_goldens` refuses to,
    so its parts are used here without its judge.
    """
    request = build_goldens.GoldenRequest(
        model=directory,
        stages=stages,
        engine="onnxruntime",
        engine_version="test",
        precision="f32",
    )
    work = directory.parent / f"{directory.name}.work"
    tree = work / "trees" / "model"
    shutil.copytree(directory, tree)
    cases = golden.decode((directory / golden.INDEX_PATH).read_bytes()).cases
    runtime = request.runtime
    with shadow(work, engine=request.engine, stages=stages, runtime=runtime) as subject:
        written = tuple(build_goldens._recorded(request, cases, subject, tree))
    found = golden.GoldenSet(
        precision="f32", engine="onnxruntime", engine_version="test", cases=written
    )
    build_goldens._publish(tree, directory, found)
    (directory / golden.INDEX_PATH).write_bytes(found.encoded())
    shutil.rmtree(work)
    return directory


def _large(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """The float weights with more than one dimension, in the order of the file."""
    return [
        t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) > 1
    ]


def _change(model: onnx.ModelProto, index: int, how: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = _large(model)[index]
    changed = how(numpy_helper.to_array(tensor).copy()).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))


def _with(weights: np.ndarray, place: int, value: float) -> np.ndarray:
    weights.flat[place] = value
    return weights


def _add_weights(model: onnx.ModelProto, **arrays: np.ndarray | np.generic) -> None:
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()
    )


def _rename_output(model: onnx.ModelProto) -> str:
    """Give the graph's output another name inside, so that more nodes can follow; gives that name."""
    output = model.graph.output[0].name
    inner = f"{output}_inner"
    for node in model.graph.node:
        for n, name in enumerate(node.output):
            if name == output:
                node.output[n] = inner
    return inner


def main() -> None:
    """`python -m support.badmodels GOOD OUT NAME`: one broken variant for the demonstration."""
    good, out, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    breaker = {**WRONG, "too_slow": too_slow}[name]
    print(json.dumps({"written": str(break_model(good, out, breaker))}))


if __name__ == "__main__":
    main()
