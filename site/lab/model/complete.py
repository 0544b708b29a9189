"""Add what the runtime itself answers to the goldens that train.py wrote, judged as a device would.

    python complete.py digits/1.0.0

Needs edgeform, and numpy, onnxruntime and Pillow in the same environment (the development one has them).
"""

import argparse
import importlib.metadata
import json
import pathlib

from edgeform.build.goldens import GoldenRequest, complete_goldens

HERE = pathlib.Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description="Complete the goldens of a model directory.")
    parser.add_argument("model", type=pathlib.Path)
    wanted = parser.parse_args()
    found = complete_goldens(
        GoldenRequest(
            model=wanted.model,
            stages={
                "capture": {"kind": "http_push"},
                "preprocess": json.loads((HERE / "preprocess.json").read_text()),
                "infer": {},
                "postprocess": {"kind": "classify", "labels": "labels.txt"},
            },
            engine="onnxruntime",
            engine_version=importlib.metadata.version("onnxruntime"),
            precision="f32",
        )
    )
    print(f"{len(found.cases)} cases pass on {found.engine} {found.engine_version}")


if __name__ == "__main__":
    main()
