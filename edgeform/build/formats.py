"""What a model file says about itself, by its ending: precision, inputs, outputs; nothing is executed.

Formats that only a vendor's library can read (HEF beyond its header, NEFF) are taken with what can be seen.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from edgeform.build.failure import ModelUnusable
from edgeform_runtime import hef, onnxfile, tflitefile
from edgeform_runtime.errors import ModelRefused

Tensor = tuple[str, str, tuple[int, ...]]
READS = {
    "onnxruntime": (".onnx",),
    "openvino": (".onnx", ".xml"),
    "litert": (".tflite",),
    "tflite": (".tflite",),
    "tensorrt": (".onnx",),
    "hailort": (".hef",),
    "neuron": (".neff",),
}
"""The endings of the files that each engine opens."""
_IR_TYPES = {
    "f32": "float32",
    "f16": "float16",
    "f64": "float64",
    "u8": "uint8",
    "i8": "int8",
    "i32": "int32",
    "i64": "int64",
    "boolean": "bool",
}
_LARGEST_IR_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """`precision` is None where the file does not say; `outputs` are empty where it cannot be read here."""

    precision: str | None
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    architecture: str | None = None


def described(engine: str, path: Path, accelerators: tuple[str, ...] = ()) -> Described:
    """What the file is.

    Raises:
        ModelUnusable: not a file for that engine, damaged, or compiled for none of the accelerators.
    """
    endings = READS.get(engine, ())
    if path.suffix not in endings:
        raise ModelUnusable(
            f"{path.name} is no file that {engine} opens.",
            address=str(path),
            hint=f"It opens {', '.join(endings) or 'nothing that is known here'}: set `file` of the variant.",
        )
    try:
        match path.suffix:
            case ".onnx":
                onnx = onnxfile.inspect(str(path))
                return Described(
                    precision=onnx.precision,
                    inputs=tuple(onnx.inputs),
                    outputs=tuple(onnx.outputs),
                )
            case ".tflite":
                lite = tflitefile.inspect(str(path))
                return Described(precision=lite.precision, inputs=lite.inputs, outputs=lite.outputs)
            case ".xml":
                return _ir(path)
            case ".hef":
                return _hef(path, accelerators)
            case _:
                return Described(precision=None)
    except ModelRefused as exc:
        raise ModelUnusable(f"{exc.summary}.", address=str(path)) from exc


def _hef(path: Path, accelerators: tuple[str, ...]) -> Described:
    found = hef.inspect(str(path))
    runs_on = hef.RUNS_ON.get(found.architecture, ())
    foreign = [name for name in accelerators if name != "*" and name not in runs_on]
    if foreign:
        raise ModelUnusable(
            f"{path.name} was compiled for {found.architecture}, which does not run on {foreign[0]}.",
            address=str(path),
            hint=f"Set `accelerators: [{', '.join(runs_on) or '...'}]`, or compile it for {foreign[0]}.",
        )
    return Described(precision="int8", architecture=found.architecture)


def _ir(path: Path) -> Described:
    """OpenVINO's IR: the .xml names layers, the .bin beside it holds the weights."""
    weights = path.with_suffix(".bin")
    if not weights.is_file() or weights.is_symlink():
        raise ModelUnusable(f"{weights.name} is not beside it.", address=str(path))
    if path.stat().st_size > _LARGEST_IR_BYTES:
        raise ModelUnusable(
            f"{path.name} is larger than any network's description.", address=str(path)
        )
    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ModelUnusable(f"{path.name} declares entities, which no IR does.", address=str(path))
    try:
        root = ET.fromstring(content)  # noqa: S314 - no entities, see above
    except ET.ParseError as exc:
        raise ModelUnusable(f"{path.name} is damaged: {exc}.", address=str(path)) from exc
    layers = root.findall("./layers/layer")
    if root.tag != "net" or not layers:
        raise ModelUnusable(f"{path.name} is not an OpenVINO IR.", address=str(path))
    return Described(
        precision=_ir_precision(layers),
        inputs=tuple(_ir_tensor(layer, "output") for layer in layers if _is(layer, "Parameter")),
        outputs=tuple(_ir_tensor(layer, "input") for layer in layers if _is(layer, "Result")),
    )


def _is(layer: ET.Element, kind: str) -> bool:
    return layer.get("type") == kind


def _ir_precision(layers: list[ET.Element]) -> str:
    kinds = {layer.get("type") for layer in layers}
    stored = {
        data.get("element_type")
        for layer in layers
        if _is(layer, "Const")
        for data in layer.findall("data")
    }
    if stored & {"i4", "u4"}:
        return "int4"
    if "FakeQuantize" in kinds or stored & {"i8", "u8"}:
        return "int8"
    return "f16" if "f16" in stored and "f32" not in stored else "f32"


def _ir_tensor(layer: ET.Element, side: str) -> Tensor:
    port = layer.find(f"./{side}/port")
    name = layer.get("output_names") or layer.get("name") or ""
    if port is None:
        return name, "float32", ()
    names = (port.get("names") or name).split(",")
    extents = tuple(int(dim.text or "-1") for dim in port.findall("dim"))
    dtype = (port.get("precision") or "FP32").lower().replace("fp", "f")
    return names[0], _IR_TYPES.get(dtype, dtype), extents
