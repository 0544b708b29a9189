"""Add what the runtime itself answers to the goldens that training wrote, judged as a device would.

    python complete.py [NAME...]

Needs edgeform, and numpy, onnxruntime and Pillow in the same environment (the development one has them).
"""

import argparse
import importlib.metadata
import json
import pathlib

from edgeform.build.goldens import GoldenRequest, complete_goldens

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parent / "model"
STAGES = {
    "quality/scratch/1.4.0": "scratch/stages.json",
    "belt-yolo/1.0.0": "belt/yolo.json",
    "belt-anchors/1.0.0": "belt/anchors.json",
    "hum/1.0.0": "hum/stages.json",
    "logbook/1.0.0": "logbook/stages.json",
}
"""Model folders, and the stages that their encoded goldens go through."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Complete the goldens of the factory's models.")
    parser.add_argument("model", nargs="*", default=list(STAGES), help="folders below model/")
    for name in parser.parse_args().model:
        found = complete_goldens(
            GoldenRequest(
                model=MODELS / name,
                stages=json.loads((HERE / STAGES[name]).read_text()),
                engine="onnxruntime",
                engine_version=importlib.metadata.version("onnxruntime"),
                precision="f32",
            )
        )
        print(f"{name}: {len(found.cases)} cases pass on {found.engine} {found.engine_version}")


if __name__ == "__main__":
    main()
