"""The bare loop: read, prepare, infer and interpret every picture of a folder, and print frames a second.

The same functions as the pipeline uses, one after the other, with no thread, queue, counter or clock between.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from inference_parts import bare_session, stages

from edgeform_runtime.pipeline import stages_of
from edgeform_runtime.stages.contract import Seen
from edgeform_runtime.stages.postprocessors import postprocessor_of
from edgeform_runtime.stages.preparation import preparation_of


def main() -> int:
    model, folder = sys.argv[1], Path(sys.argv[2])
    found = stages_of(stages())
    session = bare_session(Path(model, "model.onnx"))
    preparation = preparation_of(found, model)

    class _Output:
        name, dtype, shape, scale, zero_point = "y", "float32", (1, 10), None, None

    postprocessor = postprocessor_of(found, model, (_Output(),))
    paths = sorted(folder.glob("*.jpg"))
    skipped = len(paths) // 10
    for number, path in enumerate(paths):
        if number == skipped:
            began = time.perf_counter()
        prepared = preparation.prepare(path.read_bytes())
        outputs = {"y": session.run(None, {"x": prepared.tensor})[0]}
        postprocessor.result(outputs, Seen(feeds={}, frame_px=prepared.frame_px))
    print((len(paths) - skipped) / (time.perf_counter() - began))
    return 0


if __name__ == "__main__":
    sys.exit(main())
