"""What every training script ends with: the model file, goldens of the reference network, and figures.

The runtime's own code opens the model and reads the examples, so that what is measured here is what a
device does.
"""

import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from edgeform_runtime.model import LoadedModel, load
from edgeform_runtime.pipeline import Stages, stages_of
from edgeform_wire import golden
from edgeform_wire.pipeline import PipelineFile

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "model"
OPSET = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An input as it comes from the world, and what a device must say of it; see `golden.answer_line`."""

    content: bytes
    ending: str
    line: str


def stages_in(path: Path) -> Stages:
    """The stages of that file, as the runtime reads them."""
    return stages_of(json.loads(path.read_text()))


def trained(seed: int, make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """A new network; everything that follows is the same again on the same machine."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(1)
    return make()


def batches(count: int, size: int, epochs: int) -> Iterator[tuple[int, torch.Tensor]]:
    """(epoch, places of a batch), shuffled anew in each epoch."""
    for epoch in range(epochs):
        order = torch.randperm(count)
        for first in range(0, count - size + 1, size):
            yield epoch, order[first : first + size]


def fit(
    network: torch.nn.Module,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    count: int,
    *,
    batch: int,
    epochs: int,
    rate: float,
) -> float:
    """Train it with AdamW and one cycle of rates, one line an epoch; gives the seconds it took."""
    started = time.monotonic()
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=epochs * (count // batch), pct_start=0.15
    )
    network.train()
    losses: list[float] = []
    now = 0
    for epoch, places in batches(count, batch, epochs):
        if epoch != now:
            print(f"epoch {now + 1}/{epochs}: loss {np.mean(losses):.4f}", flush=True)
            now, losses = epoch, []
        loss = loss_of(places)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    print(f"epoch {epochs}/{epochs}: loss {np.mean(losses):.4f}", flush=True)
    network.eval()
    return time.monotonic() - started


def export(
    network: torch.nn.Module, sample: torch.Tensor, folder: Path, name: str, outputs: Iterable[str]
) -> None:
    """Write `model.onnx` into an empty folder of the registry."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.onnx.export(
        network,
        (sample,),
        str(folder / "model.onnx"),
        opset_version=OPSET,
        input_names=[name],
        output_names=list(outputs),
        dynamo=False,
    )


@contextmanager
def runtime(folder: Path, stages: Path) -> Iterator[LoadedModel]:
    """The model as the runtime has it, on ONNX Runtime."""
    document = json.loads(stages.read_text())
    with tempfile.TemporaryDirectory() as prefix:
        shutil.copytree(folder, Path(prefix, "model"))
        file = PipelineFile(
            name="training",
            site="factory",
            device="training",
            generation=1,
            generation_digest="sha256:" + "0" * 64,
            model_ref="model@training",
            runtime_tree="model",
            model_tree="model",
            engine="onnxruntime",
            stages=document,
            secrets=(),
        )
        model = load(prefix, file)
        try:
            yield model
        finally:
            model.close()


def result_of(model: LoadedModel, content: bytes) -> dict:
    seen = model.look(content)
    return model.result(model.infer(seen.feeds), seen)


def write_goldens(
    model: LoadedModel,
    network: torch.nn.Module,
    folder: Path,
    tensors: Iterable[Example],
    encoded: Iterable[Example],
) -> None:
    """Inputs, and what the network answers in PyTorch; `complete.py` adds the runtime's answers."""
    target = folder / "golden"
    target.mkdir()
    spec = model.session.inputs[0]
    cases = []
    for level, examples in (("tensor", tensors), ("encoded", encoded)):
        for number, example in enumerate(examples):
            name = f"{level}-{number:02d}"
            fed = model.look(example.content).feeds[spec.name]
            references = tuple(
                _written(target, f"{name}.fp32{number_of(n)}", output.name, answer)
                for n, (output, answer) in enumerate(
                    zip(model.session.outputs, _answers(network, fed), strict=True)
                )
            )
            inputs: tuple[golden.Tensor, ...] = ()
            if level == "tensor":
                inputs = (_written(target, f"{name}.in", spec.name, fed),)
            else:
                (target / f"{name}{example.ending}").write_bytes(example.content)
            cases.append(
                golden.Case(
                    name=name,
                    level=level,
                    inputs=inputs,
                    frame=f"golden/{name}{example.ending}" if level == "encoded" else None,
                    variant=(),
                    fp32=references,
                    label=example.line,
                )
            )
    found = golden.GoldenSet(
        precision="f32",
        engine="reference",
        engine_version=f"torch-{torch.__version__}",
        cases=tuple(cases),
    )
    (target / "index.json").write_bytes(found.encoded())


def number_of(place: int) -> str:
    return f".{place}" if place else ""


def _answers(network: torch.nn.Module, fed: np.ndarray) -> tuple[np.ndarray, ...]:
    with torch.no_grad():
        found = network(torch.from_numpy(fed.copy()))
    several = found if isinstance(found, tuple) else (found,)
    return tuple(one.numpy() for one in several)


def _written(target: Path, stem: str, name: str, value: np.ndarray) -> golden.Tensor:
    kind = "<i8" if value.dtype == np.int64 else "<f4"
    (target / f"{stem}.bin").write_bytes(np.ascontiguousarray(value, kind).tobytes())
    return golden.Tensor(
        name=name,
        dtype="int64" if kind == "<i8" else "float32",
        shape=tuple(int(side) for side in value.shape),
        path=f"golden/{stem}.bin",
    )


def write_figures(
    path: Path,
    model: LoadedModel,
    network: torch.nn.Module,
    folder: Path,
    sample: bytes,
    seconds: float,
    seed: int,
    quality: Mapping[str, object],
) -> None:
    """What was measured, with machine and date; `quality` stands first."""
    feeds = model.look(sample).feeds
    walls = [model.infer(feeds).wall_s for _ in range(200)]
    file = folder / "model.onnx"
    figures = {
        **quality,
        "parameters": sum(p.numel() for p in network.parameters()),
        "size_bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "p50_ms": round(float(np.median(walls)) * 1000, 3),
        "measured": {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "machine": f"{platform.machine()}, {_processor()}, 1 thread, shared machine",
            "onnxruntime": onnxruntime.__version__,
            "torch": torch.__version__,
        },
        "training_s": round(seconds),
        "seed": seed,
    }
    path.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2), flush=True)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "?")


def model_folder(name: str, version: str = "1.0.0") -> Path:
    """Where the registry keeps it; another root may be given, to compare two runs."""
    return Path(os.environ.get("EDGEFORM_TRAINING_OUT", MODELS), name, version)
