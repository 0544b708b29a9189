"""Goldens: inputs with the answers they must give, as `index.json` plus raw little-endian tensors.

Two levels: `tensor` (tensor in, tensors out) and `encoded` (a file as it comes from the camera in,
tensors out after the pipeline's own decoding and preprocessing). Each case may carry two references:
`variant` (made by this very variant and engine: compared tightly) and `fp32` (the reference network:
compared loosely). Files stand in the model artifact under `golden/`.
"""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from edgeform_wire import artifact, canonical
from edgeform_wire.errors import WireError
from edgeform_wire.fields import Fields, schema_of

SCHEMA = "edgeform.golden/1"
INDEX_PATH = "golden/index.json"
LEVELS = ("tensor", "encoded")
DTYPE_BYTES = {
    "float32": 4,
    "float16": 2,
    "int8": 1,
    "uint8": 1,
    "int32": 4,
    "int64": 8,
    "bool": 1,
}


@dataclass(frozen=True)
class Tensor:
    """A named tensor in a file: row-major, little-endian, exactly shape times dtype bytes long."""

    name: str
    dtype: str
    shape: Tuple[int, ...]
    path: str

    @property
    def size_bytes(self) -> int:
        count = 1
        for extent in self.shape:
            count *= extent
        return count * DTYPE_BYTES[self.dtype]

    def to_json(self) -> Dict[str, Any]:
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "path": self.path,
        }


@dataclass(frozen=True)
class Case:
    """One golden: an input, and what must come out of it.

    Args:
        level: `tensor` or `encoded`.
        inputs: tensors (level tensor). frame: path of the encoded input (level encoded).
        variant, fp32: reference outputs; at least one is present.
        label: the right answer in one line, as `answer_line` writes it; may be absent.
    """

    name: str
    level: str
    inputs: Tuple[Tensor, ...]
    frame: Optional[str]
    variant: Tuple[Tensor, ...]
    fp32: Tuple[Tensor, ...]
    label: Optional[str]

    def to_json(self) -> Dict[str, Any]:
        return {
            "name": self.name,
            "level": self.level,
            "inputs": [t.to_json() for t in self.inputs],
            "frame": self.frame,
            "variant": [t.to_json() for t in self.variant],
            "fp32": [t.to_json() for t in self.fp32],
            "label": self.label,
        }


def answer_line(result: Any) -> Optional[str]:
    """What a pipeline's result says, in one line that publisher and judge write alike; None for no result.

    classify: the best label. detect: the labels of all boxes, sorted, as "disc, disc, plate". ner: types
    and texts in their order, as "MACHINE press 4; PART valve". anomaly: `anomaly` or `normal`.
    threshold: `over` or `within`. Where nothing was found: `nothing`.
    """
    if not isinstance(result, dict):
        return None
    kind = result.get("kind")
    if kind == "classify":
        found = [_text(entry, "label") for entry in _entries(result, "classes")]
        return found[0] if found else "nothing"
    if kind == "detect":
        return (
            ", ".join(sorted(_text(e, "label") for e in _entries(result, "detections")))
            or "nothing"
        )
    if kind == "ner":
        said = [_text(e, "label") + " " + _text(e, "text") for e in _entries(result, "entities")]
        return "; ".join(said) or "nothing"
    if kind == "anomaly":
        return "anomaly" if result.get("is_anomaly") is True else "normal"
    if kind == "threshold":
        return "over" if result.get("is_over") is True else "within"
    return None


def _entries(result: Dict[str, Any], name: str) -> List[Dict[str, Any]]:
    found = result.get(name)
    return [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []


def _text(entry: Dict[str, Any], name: str) -> str:
    found = entry.get(name)
    return found if isinstance(found, str) else "?"


@dataclass(frozen=True)
class GoldenSet:
    """All goldens of a variant, with the precision that says how close is close enough."""

    precision: str
    engine: str
    engine_version: str
    cases: Tuple[Case, ...]

    def to_json(self) -> Dict[str, Any]:
        return {
            "schema": SCHEMA,
            "precision": self.precision,
            "engine": self.engine,
            "engine_version": self.engine_version,
            "cases": [c.to_json() for c in self.cases],
        }

    def encoded(self) -> bytes:
        return canonical.encode(self.to_json())


def decode(document: bytes) -> GoldenSet:
    """The golden set of an index.

    Raises:
        WireError: not the agreed form, a path outside the grammar, or a case without a reference.
    """
    fields = schema_of(canonical.decode(document, "golden index"), SCHEMA, "golden index")
    found = GoldenSet(
        precision=fields.text("precision"),
        engine=fields.text("engine"),
        engine_version=fields.text("engine_version"),
        cases=fields.each("cases", _case),
    )
    fields.done()
    if not found.cases:
        raise WireError("golden index: no cases, so nothing would be proven")
    return found


def _case(value: Any, what: str) -> Case:
    fields = Fields(value, what)
    found = Case(
        name=artifact.check_segment(fields.text("name"), what),
        level=fields.choice("level", LEVELS),
        inputs=fields.each("inputs", _tensor),
        frame=fields.optional_text("frame"),
        variant=fields.each("variant", _tensor),
        fp32=fields.each("fp32", _tensor),
        label=fields.optional_text("label"),
    )
    fields.done()
    if not found.variant and not found.fp32:
        raise WireError(f"{what}: no reference output")
    if found.level == "encoded" and found.frame is None:
        raise WireError(f"{what}: an encoded case needs a frame")
    if found.level == "tensor" and not found.inputs:
        raise WireError(f"{what}: a tensor case needs inputs")
    if found.frame is not None:
        artifact.check_paths((found.frame,))
    return found


def _tensor(value: Any, what: str) -> Tensor:
    fields = Fields(value, what)
    found = Tensor(
        name=fields.text("name"),
        dtype=fields.choice("dtype", tuple(DTYPE_BYTES)),
        shape=fields.each("shape", _extent),
        path=fields.text("path"),
    )
    fields.done()
    artifact.check_paths((found.path,))
    return found


def _extent(value: Any, what: str) -> int:
    if type(value) is not int or not 0 < value < 2**31:
        raise WireError(f"{what}: {value!r:.40} is not an extent")
    return value
