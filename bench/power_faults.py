"""Ways in which a model file goes wrong: each changes a good ONNX file into one that still loads.

A fault is a claim about what was done to the file and never about its effect: whether the result is *bad* is
measured elsewhere, on held-out inputs. Works on any precision: weights may be float32, float16 or int8.
"""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

Fault = Callable[[onnx.ModelProto, np.random.Generator], str]
"""Changes the model in place and says what it did."""
_REALS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
_QUANTISED = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)


class NoPlace(Exception):
    """The model has nothing that this fault could change."""


def wrong_normalisation(model: onnx.ModelProto, rng: np.random.Generator) -> str:
    """The file expects another scale or offset than the pipeline gives."""
    name, (scale, shift) = _drawn(
        rng,
        {
            "pixels from 0 to 1 expected": (0.25, 0.5),
            "inverted": (-1.0, 0.0),
            "standard deviation left out": (float(rng.choice([0.25, 0.5, 2.0, 4.0])), 0.0),
            "mean left out": (1.0, float(rng.choice([-2.0, -1.0, 1.0, 2.0]))),
            "another data set's figures": (float(rng.uniform(0.5, 1.6)), float(rng.uniform(-1, 1))),
            "divided by 255 twice": (1 / 255, 0.0),
        },
    )
    entry = model.graph.input[0]
    if entry.type.tensor_type.elem_type not in _REALS:
        raise NoPlace("the input is no picture or series")
    _front(model, scale, shift)
    return f"{name}: x * {scale:.3g} + {shift:.3g}"


def swapped_labels(model: onnx.ModelProto, rng: np.random.Generator) -> str:
    """Classes answer for each other: two of them, all of them by one place, or in any order."""
    output, axis, count = _classes(model)
    order = np.arange(count)
    name = str(rng.choice(["two", "shifted", "shuffled"]))
    if name == "two":
        first, second = rng.choice(count, 2, replace=False)
        order[[first, second]] = order[[second, first]]
        name = f"{first} and {second}"
    elif name == "shifted":
        order = np.roll(order, int(rng.integers(1, count)))
    else:
        order = rng.permutation(count)
    inner = _rename_output(model, output)
    model.graph.initializer.append(numpy_helper.from_array(order.astype(np.int64), "fault_order"))
    model.graph.node.append(
        helper.make_node("Gather", [inner, "fault_order"], [output.name], axis=axis)
    )
    return f"classes {name} of {count}"


def scale_error(model: onnx.ModelProto, rng: np.random.Generator) -> str:
    """One tensor of weights, or one quantisation scale, is too large or too small."""
    factor = float(np.exp(rng.uniform(np.log(1.15), np.log(8.0))) ** rng.choice([-1.0, 1.0]))
    tensor = _one(rng, _scales(model) or _weights(model, _REALS))
    _change(tensor, lambda w: w * factor)
    return f"{tensor.name} times {factor:.3g}"


def flipped_weights(model: onnx.ModelProto, rng: np.random.Generator) -> str:
    """Some weights of every layer have the other sign."""
    share = float(np.exp(rng.uniform(np.log(0.01), np.log(0.1))))

    def flip(weights: np.ndarray) -> np.ndarray:
        chosen = rng.random(weights.shape) < share
        if weights.dtype == np.uint8:
            return np.where(chosen, 255 - weights.astype(np.int32), weights)
        return np.where(chosen, -weights.astype(np.float64), weights)

    for tensor in _weights(model):
        _change(tensor, flip)
    return f"{share:.1%} of all weights"


def flipped_bits(model: onnx.ModelProto, rng: np.random.Generator) -> str:
    """Bits of the stored weights are turned, as by bad memory or a bad card."""
    tensor = _one(rng, _weights(model))
    content = np.frombuffer(numpy_helper.to_array(tensor).tobytes(), np.uint8).copy()
    count = int(rng.integers(1, 65))
    places = rng.integers(len(content), size=count)
    content[places] ^= (1 << rng.integers(8, size=count)).astype(np.uint8)
    before = numpy_helper.to_array(tensor)
    after = np.frombuffer(content.tobytes(), before.dtype).reshape(before.shape)
    tensor.CopyFrom(numpy_helper.from_array(after.copy(), tensor.name))
    return f"{count} bits of {tensor.name}"


def not_a_number(model: onnx.ModelProto, rng: np.random.Generator) -> str:
    """A weight, or a scale, is NaN or infinite."""
    tensor = _one(rng, _scales(model) + _weights(model, _REALS))
    value = float(rng.choice([np.nan, np.inf, -np.inf]))
    place = int(rng.integers(numpy_helper.to_array(tensor).size))
    _change(tensor, lambda w: _with(w, place, value))
    return f"{value} in {tensor.name}"


def lost_channels(model: onnx.ModelProto, rng: np.random.Generator) -> str:
    """Whole channels of a layer are zero, as after a write that was cut off."""
    tensor = _one(rng, _weights(model))
    share = float(rng.uniform(0.1, 1.0))

    def cut(weights: np.ndarray) -> np.ndarray:
        kept = weights.copy()
        kept[int(len(kept) * (1 - share)) :] = 0
        return kept

    _change(tensor, cut)
    return f"the last {share:.0%} of {tensor.name}"


def noisy_weights(model: onnx.ModelProto, rng: np.random.Generator) -> str:
    """Another training's weights: near the right ones, and not they."""
    strength = float(np.exp(rng.uniform(np.log(0.1), np.log(1.0))))

    def disturb(weights: np.ndarray) -> np.ndarray:
        spread = float(np.std(weights.astype(np.float64)))
        return weights + rng.normal(0.0, strength * spread, weights.shape)

    for tensor in _weights(model):
        _change(tensor, disturb)
    return f"noise of {strength:.0%} of the spread"


def coarse_weights(model: onnx.ModelProto, rng: np.random.Generator) -> str:
    """Rounded to a few levels: a quantisation that should not have been published."""
    levels = int(rng.integers(1, 5))

    def round_off(weights: np.ndarray) -> np.ndarray:
        most = max(float(np.abs(weights.astype(np.float64)).max()), 1e-12)
        return np.rint(weights.astype(np.float64) / most * levels) / levels * most

    for tensor in _weights(model):
        _change(tensor, round_off)
    return f"{2 * levels + 1} levels"


def mixed_layout(model: onnx.ModelProto, rng: np.random.Generator) -> str:
    """Height and width, or the colours, are the other way round."""
    entry = model.graph.input[0]
    extents = [d.dim_value for d in entry.type.tensor_type.shape.dim]
    if len(extents) != 4:
        raise NoPlace("the input is no picture")
    choices = ["transposed"] if extents[2] == extents[3] else []
    choices += ["mirrored", "upside down"] + (["colours"] if extents[1] == 3 else [])
    name = str(rng.choice(choices))
    if name == "transposed":
        node = helper.make_node("Transpose", [entry.name], ["fault_turned"], perm=[0, 1, 3, 2])
    else:
        axis = {"mirrored": 3, "upside down": 2, "colours": 1}[name]
        order = np.arange(extents[axis])[::-1].astype(np.int64).copy()
        model.graph.initializer.append(numpy_helper.from_array(order, "fault_turn"))
        node = helper.make_node("Gather", [entry.name, "fault_turn"], ["fault_turned"], axis=axis)
    _redirect(model, entry.name, "fault_turned")
    model.graph.node.insert(0, node)
    return name


FAULTS: Mapping[str, Fault] = {
    "wrong normalisation": wrong_normalisation,
    "swapped labels": swapped_labels,
    "scale error": scale_error,
    "flipped weights": flipped_weights,
    "flipped bits": flipped_bits,
    "not a number": not_a_number,
    "lost channels": lost_channels,
    "noisy weights": noisy_weights,
    "coarse weights": coarse_weights,
    "mixed layout": mixed_layout,
}


def _drawn(rng: np.random.Generator, choices: dict[str, tuple[float, float]]) -> tuple:
    name = list(choices)[int(rng.integers(len(choices)))]
    return name, choices[name]


def _one(rng: np.random.Generator, tensors: list[onnx.TensorProto]) -> onnx.TensorProto:
    if not tensors:
        raise NoPlace("no such weights")
    return tensors[int(rng.integers(len(tensors)))]


def _weights(
    model: onnx.ModelProto, kinds: tuple[int, ...] = _REALS + _QUANTISED
) -> list[onnx.TensorProto]:
    """Weights with more than one dimension, in the order of the file."""
    return [t for t in model.graph.initializer if t.data_type in kinds and len(t.dims) > 1]


def _scales(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """The scales of quantised tensors."""
    named = {
        node.input[1]
        for node in model.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    }
    return [t for t in model.graph.initializer if t.name in named]


def _change(tensor: onnx.TensorProto, how: Callable[[np.ndarray], np.ndarray]) -> None:
    before = numpy_helper.to_array(tensor).copy()
    changed = how(before)
    if before.dtype in (np.int8, np.uint8):
        limits = np.iinfo(before.dtype)
        changed = np.clip(np.rint(changed), limits.min, limits.max)
    tensor.CopyFrom(numpy_helper.from_array(changed.astype(before.dtype), tensor.name))


def _with(weights: np.ndarray, place: int, value: float) -> np.ndarray:
    weights.reshape(-1)[place] = value
    return weights


def _front(model: onnx.ModelProto, scale: float, shift: float) -> None:
    entry = model.graph.input[0]
    kind = helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
    for name, value in (("fault_scale", scale), ("fault_shift", shift)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, kind), name))
    _redirect(model, entry.name, "fault_shifted")
    model.graph.node.insert(
        0, helper.make_node("Add", ["fault_scaled", "fault_shift"], ["fault_shifted"])
    )
    model.graph.node.insert(
        0, helper.make_node("Mul", [entry.name, "fault_scale"], ["fault_scaled"])
    )


def _redirect(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for n, name in enumerate(node.input):
            if name == old:
                node.input[n] = new


def _classes(model: onnx.ModelProto) -> tuple[onnx.ValueInfoProto, int, int]:
    """The first output, the axis of its classes and how many there are: the last axis of 2 or more."""
    output = model.graph.output[0]
    extents = [d.dim_value for d in output.type.tensor_type.shape.dim]
    if not extents or not 2 <= extents[-1] <= 1000:
        raise NoPlace("the output has no axis of classes")
    return output, len(extents) - 1, extents[-1]


def _rename_output(model: onnx.ModelProto, output: onnx.ValueInfoProto) -> str:
    inner = "fault_inner"
    for node in model.graph.node:
        for n, name in enumerate(node.output):
            if name == output.name:
                node.output[n] = inner
        for n, name in enumerate(node.input):
            if name == output.name:
                node.input[n] = inner
    return inner
