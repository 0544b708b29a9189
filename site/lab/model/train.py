"""Train the lab's digit network and write model, labels, reference goldens and figures.

    python -m venv env && env/bin/pip install -r requirements.txt
    PYTHONPATH=../../../runtime env/bin/python train.py

Everything follows from SEED; one thread, deterministic algorithms. Two runs on one machine gave the
same model.onnx, byte for byte (2026-11-22, AMD EPYC). Preprocessing is the runtime's own code with the
steps of preprocess.json, so that training and device cannot drift apart. `golden/` gets inputs and the
FP32 reference outputs of PyTorch; `complete.py` adds what the runtime itself answers.
"""

import argparse
import hashlib
import json
import pathlib
import platform
import time

import numpy as np
import onnxruntime
import scenes
import torch
from network import DigitNet
from torch import nn

from edgeform_runtime.pipeline import stages_of
from edgeform_runtime.stages import preprocess
from edgeform_wire import golden

HERE = pathlib.Path(__file__).resolve().parent
SEED = 20_240_801
RENDERINGS = 6
EPOCHS = 14
BATCH = 64
TENSOR_CASES = 8
ENCODED_FROM = 40


def steps() -> tuple:
    """The preprocessing of preprocess.json, as the runtime reads it."""
    document = {
        "capture": {"kind": "http_push"},
        "preprocess": json.loads((HERE / "preprocess.json").read_text()),
        "infer": {},
        "postprocess": {"kind": "classify"},
    }
    return stages_of(document).preprocess


def training_set() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = scenes.digits()
    known = len(images) - scenes.HELD_OUT
    rng = np.random.default_rng(SEED)
    tensors = [
        preprocess.apply(scenes.render(images[n], rng), steps())[0]
        for _ in range(RENDERINGS)
        for n in range(known)
    ]
    return torch.from_numpy(np.stack(tensors)), torch.from_numpy(
        np.tile(labels[:known], RENDERINGS)
    )


def held_out_set() -> tuple[np.ndarray, np.ndarray]:
    found = [scenes.held_out_scene(n) for n in range(scenes.HELD_OUT)]
    tensors = [preprocess.apply(scene, steps()) for scene, _ in found]
    return np.stack(tensors), np.array([label for _, label in found])


def train(inputs: torch.Tensor, labels: torch.Tensor) -> DigitNet:
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(1)
    network = DigitNet()
    total = EPOCHS * (len(inputs) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=total)
    for epoch in range(EPOCHS):
        network.train()
        losses = []
        order = torch.randperm(len(inputs))
        for first in range(0, len(inputs) - BATCH + 1, BATCH):
            batch = order[first : first + BATCH]
            loss = nn.functional.cross_entropy(network(inputs[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {np.mean(losses):.4f}", flush=True)
    return network.eval()


def export(network: DigitNet, path: pathlib.Path) -> None:
    torch.onnx.export(
        network,
        (torch.zeros(1, 1, 64, 64),),
        str(path),
        opset_version=17,
        input_names=["image"],
        output_names=["logits"],
        dynamo=False,
    )


def chosen_scenes(network: DigitNet) -> list[tuple[str, np.ndarray, int]]:
    """(level, scene, label) of the golden cases.

    Encoded cases show every class once, so that a mix-up of labels cannot hide; all are samples that the
    reference network reads rightly, because a golden's label is what every device must answer.
    """
    chosen = [("tensor", *scenes.held_out_scene(n)) for n in range(TENSOR_CASES)]
    missing = set(range(10))
    for index in range(ENCODED_FROM, scenes.HELD_OUT):
        if not missing:
            break
        scene, label = scenes.held_out_scene(index)
        if label in missing and answer(network, scene).argmax() == label:
            missing.discard(label)
            chosen.append(("encoded", scene, label))
    return chosen


def answer(network: DigitNet, scene: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(preprocess.apply(scene, steps()))).numpy()


def write_goldens(network: DigitNet, directory: pathlib.Path) -> None:
    """Inputs and reference outputs; the tensor cases and the encoded cases are different samples."""
    directory.mkdir(parents=True, exist_ok=True)
    cases = []
    for n, (level, scene, label) in enumerate(chosen_scenes(network)):
        name = f"{level}-{n:02d}"
        (directory / f"{name}.fp32.bin").write_bytes(answer(network, scene).astype("<f4").tobytes())
        reference = golden.Tensor("logits", "float32", (1, 10), f"golden/{name}.fp32.bin")
        inputs: tuple[golden.Tensor, ...] = ()
        if level == "encoded":
            (directory / f"{name}.png").write_bytes(scenes.png(scene))
        else:
            tensor = preprocess.apply(scene, steps())
            (directory / f"{name}.in.bin").write_bytes(tensor.astype("<f4").tobytes())
            inputs = (golden.Tensor("image", "float32", tensor.shape, f"golden/{name}.in.bin"),)
        cases.append(
            golden.Case(
                name=name,
                level=level,
                inputs=inputs,
                frame=f"golden/{name}.png" if level == "encoded" else None,
                variant=(),
                fp32=(reference,),
                label=str(label),
            )
        )
    found = golden.GoldenSet(
        precision="f32",
        engine="reference",
        engine_version=f"torch-{torch.__version__}",
        cases=tuple(cases),
    )
    (directory / "index.json").write_bytes(found.encoded())


def figures(network: DigitNet, path: pathlib.Path, seconds: float) -> dict:
    inputs, labels = held_out_set()
    with torch.no_grad():
        reference = network(torch.from_numpy(inputs[:, 0])).numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    walls, outputs = [], []
    for tensor in inputs:
        started = time.perf_counter()
        outputs.append(session.run(None, {"image": tensor})[0][0])
        walls.append(time.perf_counter() - started)
    answered = np.stack(outputs)
    spread = float(reference.max() - reference.min())
    return {
        "held_out_scenes": len(labels),
        "accuracy": round(float((answered.argmax(1) == labels).mean()), 4),
        "accuracy_torch": round(float((reference.argmax(1) == labels).mean()), 4),
        "agreement": round(float((answered.argmax(1) == reference.argmax(1)).mean()), 4),
        "max_deviation_of_range": float(f"{np.abs(answered - reference).max() / spread:.2e}"),
        "parameters": sum(p.numel() for p in network.parameters()),
        "size_bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "p50_ms": round(float(np.median(walls)) * 1000, 3),
        "measured": {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "machine": f"{platform.machine()}, {_cpu()}, 1 thread, shared machine",
            "onnxruntime": onnxruntime.__version__,
            "torch": torch.__version__,
        },
        "training_s": round(seconds),
        "seed": SEED,
    }


def _cpu() -> str:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "?")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the lab's digit network.")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "digits" / "1.0.0")
    parser.add_argument("--figures", type=pathlib.Path, default=HERE / "figures.json")
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    print("rendering", flush=True)
    network = train(*training_set())
    seconds = time.monotonic() - started
    export(network, wanted.out / "model.onnx")
    (wanted.out / "labels.txt").write_text("".join(f"{n}\n" for n in range(10)))
    write_goldens(network, wanted.out / "golden")
    found = figures(network, wanted.out / "model.onnx", seconds)
    wanted.figures.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
