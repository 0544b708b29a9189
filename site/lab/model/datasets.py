"""Write the lab's data sets: what `edgeform build` calibrates with, and what it judges by.

    python -m venv env && env/bin/pip install scikit-learn pillow numpy
    PYTHONPATH=../../../runtime env/bin/python datasets.py --out ../data

`digits-calibration` shows samples of training's writers, `digits-evaluation` the 360 samples of writers that
training never saw. The pictures are scenes as `scenes.py` renders them, shrunk to 64x64 grey with the very
steps of `preprocess.json`: the pipeline's own steps then change nothing, and the data fits into Git. The
script proves for every picture that the tensor is the same as that of the whole scene.
"""

import argparse
import io
import json
import pathlib

import numpy as np
import scenes
from PIL import Image

from edgeform_runtime.pipeline import stages_of
from edgeform_runtime.stages import preprocess

HERE = pathlib.Path(__file__).resolve().parent
CALIBRATION_SEED = 9000
CALIBRATION_SAMPLES = 200


def steps() -> tuple:
    document = {
        "capture": {"kind": "http_push"},
        "preprocess": json.loads((HERE / "preprocess.json").read_text()),
        "infer": {},
        "postprocess": {"kind": "classify"},
    }
    return stages_of(document).preprocess


def shrunk(scene: np.ndarray, wanted: tuple) -> bytes:
    """The scene after resize and colour, as a PNG; its tensor is that of the whole scene."""
    grey = preprocess.apply(scene, wanted[:2])
    picture = Image.fromarray(np.asarray(grey).reshape(grey.shape[0], grey.shape[1]))
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    again = preprocess.apply(preprocess.decode(stream.getvalue()), wanted)
    assert np.array_equal(again, preprocess.apply(scene, wanted))
    return stream.getvalue()


def write(folder: pathlib.Path, description: str, samples: list[tuple[bytes, int]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for number, (content, label) in enumerate(samples):
        name = f"{number:03d}.png"
        (folder / name).write_bytes(content)
        listed.append({"file": name, "label": str(label)})
    head = {
        "schema": "edgeform.dataset/1",
        "description": description,
        "task": "classification",
        "level": "encoded",
    }
    lines = ",\n".join(json.dumps(sample) for sample in listed)
    text = json.dumps(head, indent=1)[:-2] + f',\n "samples": [\n{lines}\n]}}\n'
    json.loads(text)
    (folder / "dataset.json").write_text(text)


def calibration(wanted: tuple) -> list[tuple[bytes, int]]:
    images, labels = scenes.digits()
    known = len(images) - scenes.HELD_OUT
    chosen = np.random.default_rng(CALIBRATION_SEED).permutation(known)[:CALIBRATION_SAMPLES]
    return [
        (
            shrunk(
                scenes.render(images[n], np.random.default_rng([CALIBRATION_SEED, int(n)])), wanted
            ),
            int(labels[n]),
        )
        for n in chosen
    ]


def evaluation(wanted: tuple) -> list[tuple[bytes, int]]:
    found = [scenes.held_out_scene(n) for n in range(scenes.HELD_OUT)]
    return [(shrunk(scene, wanted), label) for scene, label in found]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the lab's data sets.")
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parent / "data")
    out = parser.parse_args().out
    wanted = steps()
    write(
        out / "digits-calibration",
        "200 scenes of writers that training knows, for calibration.",
        calibration(wanted),
    )
    write(
        out / "digits-evaluation",
        "360 scenes of writers that training never saw, for the accuracy gate.",
        evaluation(wanted),
    )


if __name__ == "__main__":
    main()
