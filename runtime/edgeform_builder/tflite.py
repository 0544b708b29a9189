"""What the LiteRT steps share: the quantizer over one file, and the network's names as it has them."""

from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer

from edgeform_builder.job import Refused
from edgeform_builder.tensors import Array

ENTRY = "model.tflite"


def signature(source: Path) -> Tuple[str, Dict[str, str]]:
    """The only signature of a file, and its inputs by the names of their tensors.

    Raises:
        Refused: it cannot be opened, or does not have exactly one.
    """
    try:
        raw = Interpreter(model_path=str(source), num_threads=1)
        keys = list(raw.get_signature_list())
    except (RuntimeError, ValueError) as exc:
        raise Refused(f"LiteRT cannot open the model: {str(exc)[:300]}") from exc
    if len(keys) != 1:
        raise Refused(
            f"the model has {len(keys)} signatures, and calibration is of one",
            "Convert it again with a converter that writes one: litert-torch, or TensorFlow's.",
        )
    inputs = raw.get_signature_runner(keys[0]).get_input_details()
    return keys[0], {detail["name"]: name for name, detail in inputs.items()}


def calibrated(
    tool: quantizer.Quantizer, source: Path, feeds: Iterable[Mapping[str, Array]]
) -> Any:
    """Ranges of every tensor over the samples.

    Raises:
        Refused: the samples are not for this network's inputs.
    """
    key, names = signature(source)
    shown: List[Dict[str, Array]] = []
    for feed in feeds:
        unknown = set(feed) - set(names)
        if unknown:
            raise Refused(f"the calibration data has an input {min(unknown)!r}, the network none")
        shown.append({names[name]: array for name, array in feed.items()})
    return tool.calibrate({key: shown}, num_threads=1)


def write(tool: quantizer.Quantizer, folder: Path, ranges: Optional[Any] = None) -> int:
    """Quantise by the tool's recipe and write `model.tflite`; its size in bytes.

    Raises:
        Refused: the tool cannot, or nothing of the network was touched.
    """
    try:
        done = tool.quantize() if ranges is None else tool.quantize(ranges)
    except (RuntimeError, ValueError) as exc:
        raise Refused(f"the quantizer refuses the network: {str(exc)[:300]}") from exc
    done.export_model(str(folder / ENTRY))
    return (folder / ENTRY).stat().st_size
