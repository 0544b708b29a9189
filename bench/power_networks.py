"""The networks of `power.py`: good files in every precision, and held-out truth.

What is *bad* is decided here and nowhere else: a file is scored on inputs that neither training,
calibration nor goldens have seen, by ONNX Runtime directly, without the runtime, its preprocessing or any
check.
"""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from edgeform.build.goldens import GoldenRequest, complete_goldens
from edgeform_wire import golden

ROOT = Path(__file__).parents[1]
TRAINING = ROOT / "site/factory/training"
UNSEEN = 9000
"""Number of the first made-up sample: behind all that training, figures and goldens were made from."""
HELD_OUT = 400
BAD_POINTS = 0.02
CALIBRATION = 100
"""Held-out samples that calibrate and never score."""
PRECISIONS = ("f32", "f16", "int8 static", "int8 dynamic")

Feeds = Mapping[str, np.ndarray]
Outputs = tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A trained network with its goldens, and samples that it has not seen.

    Attributes:
        stages: of the pipeline, as in a pipeline file.
        samples: the model's inputs for each held-out sample; the first CALIBRATION calibrate.
        score: accuracy, 0 to 1, of the outputs for `samples[CALIBRATION:]`.
    """

    name: str
    directory: Path
    stages: Mapping[str, object]
    samples: tuple[Feeds, ...]
    score: Callable[[Sequence[Outputs]], float]

    def accuracy(self, model: Path) -> float:
        """What the file at that path scores on held-out samples.

        A file that the engine refuses, or whose answers have another form, scores nothing.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
            answers = [tuple(session.run(None, feeds)) for feeds in self.samples[CALIBRATION:]]
        except Exception:  # noqa: BLE001 - the engine raises many kinds; all mean that it does not work
            return 0.0
        return self.score(answers)


def digits() -> Network:
    """The lab's MobileNetV2-like classifier: 360 scenes of writers whom training never saw."""
    home = ROOT / "site/lab/model"
    scenes = _script(home / "scenes.py")
    stages = {
        "capture": {"kind": "http_push"},
        "preprocess": _json(home / "preprocess.json"),
        "infer": {},
        "postprocess": {"kind": "classify", "labels": "labels.txt"},
    }
    seen = [scenes.held_out_scene(n) for n in range(scenes.HELD_OUT)]
    return Network(
        name="digits",
        directory=home / "digits" / "1.0.0",
        stages=stages,
        samples=_pictures("image", [scene for scene, _ in seen], stages),
        score=partial(_share_right, np.array([label for _, label in seen])),
    )


def scratch() -> Network:
    """The factory's MobileNetV3-like classifier of pressed parts."""
    scenes = _script(TRAINING / "scratch/scenes.py")
    stages = _json(TRAINING / "scratch/stages.json")
    seen = [scenes.scene("held-out", n) for n in range(UNSEEN, UNSEEN + HELD_OUT)]
    return Network(
        name="scratch",
        directory=ROOT / "site/factory/model/quality/scratch/1.4.0",
        stages=stages | {"capture": {"kind": "http_push"}},
        samples=_pictures("image", [pixels for pixels, _ in seen], stages),
        score=partial(_share_right, np.array([scenes.LABELS.index(label) for _, label in seen])),
    )


def logbook() -> Network:
    """The factory's tagger of text: accuracy is the share of characters of names with the right tag."""
    sentences = _script(TRAINING / "logbook/sentences.py")
    numbers = {character: n for n, character in enumerate(sentences.ALPHABET)}
    seen = [sentences.sentence("held-out", n) for n in range(UNSEEN, UNSEEN + HELD_OUT)]
    tags = np.stack([sentences.tags_of(found) for found in seen])
    lines = np.full((HELD_OUT, 1, sentences.LENGTH), numbers["[PAD]"], np.int64)
    for n, found in enumerate(seen):
        lines[n, 0, : len(found.text)] = [numbers[character] for character in found.text]
    return Network(
        name="logbook",
        directory=ROOT / "site/factory/model/logbook/1.0.0",
        stages=_json(TRAINING / "logbook/stages.json"),
        samples=tuple({"characters": line} for line in lines),
        score=partial(_share_of_names, tags),
    )


def _pictures(
    name: str, pictures: Sequence[np.ndarray], stages: Mapping[str, Any]
) -> tuple[Feeds, ...]:
    from edgeform_runtime.pipeline import stages_of  # noqa: PLC0415 - what the networks were trained with
    from edgeform_runtime.stages import preprocess  # noqa: PLC0415 - likewise

    steps = stages_of(dict(stages)).preprocess
    return tuple({name: preprocess.apply(picture, steps)} for picture in pictures)


def _share_of_names(tags: np.ndarray, answers: Sequence[Outputs]) -> float:
    """Of the characters that belong to a name, and as many that do not, the share told rightly."""
    if any(not np.isfinite(a[0]).all() for a in answers):
        return 0.0
    said = np.stack([a[0].reshape(tags.shape[1], -1).argmax(1) for a in answers])
    truth = tags[CALIBRATION:]
    inside = truth != 0
    return float(((said == truth)[inside].mean() + (said == truth)[~inside].mean()) / 2)


def _share_right(labels: np.ndarray, answers: Sequence[Outputs]) -> float:
    logits = [answer[0] for answer in answers]
    if any(not np.isfinite(a).all() or a.shape[-1] != logits[0].shape[-1] for a in logits):
        return 0.0
    said = np.array([a.reshape(-1).argmax() for a in logits])
    return float((said == labels[CALIBRATION:]).mean())


def variant(network: Network, precision: str, out: Path) -> Path:
    """A model directory of the network in that precision, with goldens of its own, as a build makes it."""
    shutil.copytree(network.directory, out)
    file = out / "model.onnx"
    kind = precision.split(maxsplit=1)[0]
    if precision == "f16":
        onnx.save(convert_float_to_float16(onnx.load(file), keep_io_types=True), file)
    elif kind == "int8":
        prepared = out / "prepared.onnx"
        quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
        _quantise(network, prepared, file, is_static=precision == "int8 static")
        prepared.unlink()
    if kind != "f32":
        _only_used_operator_sets(file)
        _renew_goldens(network, out, kind)
    return out


def _only_used_operator_sets(file: Path) -> None:
    """The tools import operator sets that nothing uses, and the runtime refuses foreign ones."""
    model = onnx.load(file)
    used = {node.domain for node in model.graph.node} | {""}
    kept = [imported for imported in model.opset_import if imported.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.save(model, file)


def _quantise(network: Network, source: Path, target: Path, *, is_static: bool) -> None:
    if not is_static:
        quantize_dynamic(str(source), str(target), weight_type=QuantType.QUInt8)
        return
    quantize_static(
        str(source),
        str(target),
        _Samples(network.samples[:CALIBRATION]),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )


class _Samples(CalibrationDataReader):
    def __init__(self, samples: tuple[Feeds, ...]) -> None:
        self._left = iter(samples)

    def get_next(self) -> Feeds | None:
        return next(self._left, None)


def _renew_goldens(network: Network, directory: Path, precision: str) -> None:
    index = directory / golden.INDEX_PATH
    known = golden.decode(index.read_bytes())
    index.write_bytes(
        golden.GoldenSet(
            precision=precision,
            engine=known.engine,
            engine_version=known.engine_version,
            cases=known.cases,
        ).encoded()
    )
    complete_goldens(
        GoldenRequest(
            model=directory,
            stages=network.stages,
            engine="onnxruntime",
            engine_version=onnxruntime.__version__,
            precision=precision,
        )
    )


NETWORKS: Mapping[str, Callable[[], Network]] = {
    "digits": digits,
    "scratch": scratch,
    "logbook": logbook,
}
PRECISIONS_OF = dict.fromkeys(NETWORKS, PRECISIONS) | {
    # Static INT8 of this network fails its own goldens (4 dB): a build refuses it, so it is no good model.
    "logbook": tuple(p for p in PRECISIONS if p != "int8 static"),
}


def _script(path: Path) -> ModuleType:
    sys.path.insert(0, str(TRAINING))
    spec = importlib.util.spec_from_file_location(f"power_{path.parent.name}_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


def _json(path: Path) -> Any:
    return json.loads(path.read_text())
