"""The kinds of steps that recipes are made of: what each takes and gives, in which closure it runs.

A table of values and nothing more: `spec` checks recipes with it, `build` runs them, the closures of the
builders hold what does the work (`runtime/edgeform_builder/steps`, one module for each kind). To add a
kind: an entry here, its module there, its definition in `schemas/site.schema.json`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgeform.domain.builds import Build, Scalar, Step

CALIBRATION = "calibration"
TRAINING = "training"
ONNX, OPENVINO_IR, TFLITE = "onnx", "openvino-ir", "tflite"
READ_BY = {
    "onnxruntime": (ONNX,),
    "openvino": (ONNX, OPENVINO_IR),
    "litert": (TFLITE,),
    "tflite": (TFLITE,),
    "tensorrt": (ONNX,),
}
"""The formats that each engine opens."""
ENDINGS = {ONNX: ".onnx", OPENVINO_IR: ".xml", TFLITE: ".tflite"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of a step; its default's type is its type."""

    name: str
    default: Scalar
    about: str
    choices: tuple[Scalar, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """What may be tried instead of a step: other parameters of it, or another kind."""

    name: str
    parameters: tuple[tuple[str, Scalar], ...] = ()
    instead: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepKind:
    """A kind of step.

    Args:
        builder: the closure that it runs in (`edgeform/build/builders/<builder>.lock`).
        takes, gives: formats. precision: what it makes of the network; None: it stays as it is.
        needs: `calibration`, `training`.
        is_reproducible: the same inputs give the same bytes; a test builds twice.
    """

    name: str
    builder: str
    takes: str
    gives: str
    about: str
    precision: str | None = None
    needs: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    ladder: tuple[Rung, ...] = ()
    is_reproducible: bool = True

    def parameters_of(self, step: Step) -> dict[str, Scalar]:
        """Every parameter of the step, also those that keep their default."""
        return {p.name: p.default for p in self.parameters} | dict(step.parameters)


_SAMPLES = Parameter(
    name="samples",
    default=100,
    about="Samples of the calibration set that are used, from its beginning; 0 takes all.",
    minimum=0,
)
_PER_CHANNEL = Parameter(
    name="per_channel", default=True, about="A scale for each channel of the weights."
)
_CALIBRATOR = Parameter(
    name="calibrator",
    default="minmax",
    choices=("minmax", "percentile", "entropy"),
    about="How the ranges of activations are found.",
)
_MIXED = Parameter(
    name="mixed",
    default=False,
    about="Leave the most sensitive layers in FP32 until the gate's SQNR is reached on the"
    " calibration set.",
)
_INT8_LADDER = (
    Rung(name="per-channel", parameters=(("per_channel", True),)),
    Rung(name="more-calibration", parameters=(("per_channel", True), ("samples", 0))),
    Rung(
        name="mixed-precision",
        parameters=(("mixed", True), ("per_channel", True), ("samples", 0)),
    ),
    Rung(name="fp16", instead="fp16"),
)

_KINDS = (
    StepKind(
        name="clean",
        builder="onnx",
        takes=ONNX,
        gives=ONNX,
        about="Shapes inferred, constants folded, names made canonical; FP32 stays FP32.",
    ),
    StepKind(
        name="fp16",
        builder="onnx",
        takes=ONNX,
        gives=ONNX,
        precision="f16",
        about="Weights and arithmetic in FP16; inputs and outputs stay FP32.",
    ),
    StepKind(
        name="int8",
        builder="onnx",
        takes=ONNX,
        gives=ONNX,
        precision="int8",
        needs=(CALIBRATION,),
        about="Static INT8 with QuantizeLinear and DequantizeLinear, from real calibration data.",
        parameters=(
            _PER_CHANNEL,
            _CALIBRATOR,
            Parameter(
                name="symmetric",
                default=False,
                about="Signed, symmetric activations, as TensorRT wants them.",
            ),
            _MIXED,
            _SAMPLES,
        ),
        ladder=_INT8_LADDER,
    ),
    StepKind(
        name="trt_int8",
        builder="onnx",
        takes=ONNX,
        gives=ONNX,
        precision="int8",
        needs=(CALIBRATION,),
        about="Static INT8 as TensorRT takes it: explicit, signed, symmetric; each device builds its engine.",
        parameters=(
            _PER_CHANNEL,
            _CALIBRATOR,
            _MIXED,
            _SAMPLES,
        ),
        ladder=_INT8_LADDER,
    ),
    StepKind(
        name="int8_dynamic",
        builder="onnx",
        takes=ONNX,
        gives=ONNX,
        precision="int8",
        about="INT8 weights; activations are quantised while it runs, so no calibration is needed.",
        parameters=(_PER_CHANNEL,),
        ladder=(
            Rung(name="per-channel", parameters=(("per_channel", True),)),
            Rung(name="fp16", instead="fp16"),
        ),
    ),
    StepKind(
        name="int4",
        builder="onnx",
        takes=ONNX,
        gives=ONNX,
        precision="int4",
        about="INT4 weights of MatMul and Gemm only; convolutions are not touched.",
        parameters=(
            Parameter(
                name="block_size",
                default=32,
                choices=(16, 32, 64, 128),
                about="Weights that share a scale.",
            ),
            Parameter(name="symmetric", default=True, about="No zero points."),
            Parameter(
                name="accuracy_level",
                default=4,
                choices=(0, 1, 2, 3, 4),
                about="What it computes in: 4 is INT8, which is the fast one; 0 the engine's choice.",
            ),
        ),
        ladder=(Rung(name="fp16", instead="fp16"),),
    ),
    StepKind(
        name="ir_fp16",
        builder="openvino",
        takes=ONNX,
        gives=OPENVINO_IR,
        precision="f16",
        about="OpenVINO's IR with weights in FP16; inputs and outputs stay FP32.",
    ),
    StepKind(
        name="nncf_int8",
        builder="openvino",
        takes=ONNX,
        gives=OPENVINO_IR,
        precision="int8",
        needs=(CALIBRATION,),
        about="OpenVINO's IR in static INT8, by NNCF from real calibration data.",
        parameters=(
            Parameter(
                name="preset",
                default="mixed",
                choices=("mixed", "performance"),
                about="Activations: asymmetric where it helps, or symmetric throughout.",
            ),
            Parameter(
                name="fast_bias_correction",
                default=True,
                about="The quick correction of biases; the whole one takes longer.",
            ),
            Parameter(
                name="mixed",
                default=False,
                about="Accuracy control: layers return to FP32 until the gate's SQNR is reached on the"
                " calibration set.",
            ),
            _SAMPLES,
        ),
        ladder=(
            Rung(name="more-calibration", parameters=(("samples", 0),)),
            Rung(name="mixed-precision", parameters=(("mixed", True), ("samples", 0))),
            Rung(name="fp16", instead="ir_fp16"),
        ),
    ),
    StepKind(
        name="nncf_int4",
        builder="openvino",
        takes=ONNX,
        gives=OPENVINO_IR,
        precision="int4",
        about="OpenVINO's IR with INT4 weights of MatMul only; other weights become INT8.",
        parameters=(
            Parameter(
                name="group_size",
                default=-1,
                about="Weights that share a scale; -1: a whole channel.",
                minimum=-1,
            ),
            Parameter(name="symmetric", default=True, about="No zero points."),
        ),
        ladder=(Rung(name="fp16", instead="ir_fp16"),),
    ),
    StepKind(
        name="litert_fp16",
        builder="litert",
        takes=TFLITE,
        gives=TFLITE,
        precision="f16",
        about="Weights of a TFLite file in FP16; inputs and outputs stay FP32.",
    ),
    StepKind(
        name="litert_int8_dynamic",
        builder="litert",
        takes=TFLITE,
        gives=TFLITE,
        precision="int8",
        about="INT8 weights of a TFLite file; activations are quantised while it runs.",
        ladder=(Rung(name="fp16", instead="litert_fp16"),),
    ),
    StepKind(
        name="litert_int8",
        builder="litert",
        takes=TFLITE,
        gives=TFLITE,
        precision="int8",
        needs=(CALIBRATION,),
        about="Static INT8 of a TFLite file's weights and activations, from real calibration data.",
        parameters=(
            Parameter(
                name="integer_edges",
                default=False,
                about="Inputs and outputs in INT8 too, as accelerators without floats want them.",
            ),
            _SAMPLES,
        ),
        ladder=(
            Rung(name="more-calibration", parameters=(("samples", 0),)),
            Rung(name="fp16", instead="litert_fp16"),
        ),
    ),
)
KINDS: Mapping[str, StepKind] = {kind.name: kind for kind in _KINDS}


def whole(step: Step) -> Step:
    """The step with every parameter written out, sorted: what its derivation says."""
    found = KINDS[step.name].parameters_of(step)
    return Step(name=step.name, parameters=tuple(sorted(found.items())))


def precision_of(recipe: tuple[Step, ...]) -> str:
    """What the recipe makes of an FP32 network."""
    named = [KINDS[step.name].precision for step in recipe]
    return next((precision for precision in reversed(named) if precision), "f32")


def needs(recipe: tuple[Step, ...], what: str) -> bool:
    return any(what in KINDS[step.name].needs for step in recipe)


def source_format(name: str) -> str:
    """The format of a source file, by its ending; ONNX where it says nothing."""
    return TFLITE if name.endswith(ENDINGS[TFLITE]) else ONNX


def reference_engine(name: str) -> str:
    """What the source network is run by, whatever engine the variant is for."""
    return {TFLITE: "litert"}.get(source_format(name), "onnxruntime")


def format_of(recipe: tuple[Step, ...]) -> str:
    """The format that comes out."""
    return KINDS[recipe[-1].name].gives


def rungs(build: Build) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """The recipes to try, by name: the one that was asked for, then the ladder's, each once."""
    yield "as asked", build.recipe
    seen = {tuple(whole(step) for step in build.recipe)}
    at = _quantising(build.recipe)
    if at is None:
        return
    step = build.recipe[at]
    for rung in KINDS[step.name].ladder:
        if rung.name not in build.gate.ladder:
            continue
        changed = (
            Step(name=rung.instead)
            if rung.instead
            else step.with_parameters(**dict(rung.parameters))
        )
        recipe = (*build.recipe[:at], changed, *build.recipe[at + 1 :])
        key = tuple(whole(one) for one in recipe)
        if key not in seen:
            seen.add(key)
            yield rung.name, recipe


def _quantising(recipe: tuple[Step, ...]) -> int | None:
    return next((n for n in reversed(range(len(recipe))) if KINDS[recipe[n].name].ladder), None)
