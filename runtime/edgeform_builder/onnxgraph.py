"""What several ONNX steps need: loading, canonical names, weights, running a graph here."""

import heapq
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Set

# Before the first import: ONNX Runtime's Linux wheels upload events since 1.32.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from edgeform_builder.job import Refused
from edgeform_builder.tensors import Array

LARGEST_BYTES = 1_900_000_000
"""A protocol buffer ends at 2 GiB; weights beyond that would need files of their own."""
WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
PRODUCER = "edgeform"


def load(path: Path) -> Any:
    """The model, its weights inside.

    Raises:
        Refused: no ONNX file, or too large for one file.
    """
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model, full_check=False)
    except (onnx.checker.ValidationError, ValueError, TypeError) as exc:
        raise Refused(f"{path.name} is no sound ONNX model: {exc!s:.300}") from exc
    except Exception as exc:  # the parser's own error belongs to a private module
        if type(exc).__name__ != "DecodeError":
            raise
        raise Refused(f"{path.name} is no ONNX file, or a damaged one") from exc
    if model.ByteSize() > LARGEST_BYTES:
        raise Refused(f"{path.name} has {model.ByteSize()} bytes; one file holds {LARGEST_BYTES}")
    return model


def save(model: Any, path: Path) -> None:
    """Write the model, the same bytes for the same graph; operator sets that nothing uses are left out."""
    used = _domains(model.graph.node) | {f.domain for f in model.functions}
    kept = [op for op in model.opset_import if op.domain in used or op.domain in ("", "ai.onnx")]
    del model.opset_import[:]
    model.opset_import.extend(sorted(kept, key=lambda op: str(op.domain)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def canonical(model: Any) -> None:
    """Give nodes, values and weights names that follow from the graph alone; drop what tools noted.

    Inputs and outputs keep their names: pipelines and goldens use them. Names inside subgraphs are left as
    they are, and so are the outer names that those use.
    """
    graph = model.graph
    _sort(graph)
    kept = {value.name for value in (*graph.input, *graph.output)} | _used_inside(graph.node)
    names = _new_names(graph, kept)
    for node in graph.node:
        for values in (node.input, node.output):
            for place, name in enumerate(values):
                values[place] = names.get(name, name)
    weights = []
    for weight in graph.initializer:
        weight.name = names.get(weight.name, weight.name)
        weight.doc_string = ""
        weights.append(weight)
    used = {name for node in graph.node for name in node.input} | kept
    ordered = sorted((w for w in weights if w.name in used), key=lambda w: str(w.name))
    del graph.initializer[:]
    graph.initializer.extend(ordered)
    shapes = []
    for value in graph.value_info:
        if value.name in names or value.name in used:
            value.name = names.get(value.name, value.name)
            shapes.append(value)
    del graph.value_info[:]
    graph.value_info.extend(sorted(shapes, key=lambda v: str(v.name)))
    sign(model)


def _sort(graph: Any) -> None:
    """Put every node behind those whose outputs it takes, as ONNX demands; tools append where they like."""
    made = {name: at for at, node in enumerate(graph.node) for name in node.output if name}
    needs = [
        {made[n] for n in _taken(node) if n in made} - {at} for at, node in enumerate(graph.node)
    ]
    users: Dict[int, List[int]] = {}
    for at, wanted in enumerate(needs):
        for other in wanted:
            users.setdefault(other, []).append(at)
    open_counts = [len(wanted) for wanted in needs]
    ready = [at for at, count in enumerate(open_counts) if count == 0]
    # Of those that may come next the one that stood first, so that nothing moves needlessly.
    heapq.heapify(ready)
    ordered = []
    while ready:
        at = heapq.heappop(ready)
        ordered.append(graph.node[at])
        for user in users.get(at, ()):
            open_counts[user] -= 1
            if open_counts[user] == 0:
                heapq.heappush(ready, user)
    if len(ordered) < len(needs):
        raise Refused("the graph goes in a circle")
    copies = [type(node).FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)


def _taken(node: Any) -> Set[str]:
    """What a node takes, also inside its subgraphs."""
    return set(node.input) | _used_inside([node])


def _new_names(graph: Any, kept: Set[str]) -> Dict[str, str]:
    """New names by old ones, by the place of their first use; nodes get theirs at once."""
    names: Dict[str, str] = {}
    taken = set(kept)
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{number}"
        node.doc_string = ""
        for side, values in (("in", node.input), ("out", node.output)):
            for place, old in enumerate(values):
                if not old or old in kept or old in names:
                    continue
                new = f"{node.name}_{side}{place}"
                while new in taken:
                    new += "_"
                names[old] = new
                taken.add(new)
    return names


def sign(model: Any) -> None:
    """Say who made it, and nothing that differs from run to run."""
    model.graph.name = "graph"
    model.graph.doc_string = ""
    model.doc_string = ""
    model.producer_name, model.producer_version = PRODUCER, ""
    del model.metadata_props[:]


def _domains(nodes: Iterable[Any]) -> Set[str]:
    """The operator sets that nodes and their subgraphs use."""
    found: Set[str] = set()
    for node in nodes:
        found.add(str(node.domain))
        for graph in _graphs(node):
            found |= _domains(graph.node)
    return found


def _graphs(node: Any) -> List[Any]:
    """The graphs inside a node."""
    return [
        graph
        for attribute in node.attribute
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else []))
    ]


def _used_inside(nodes: Iterable[Any]) -> Set[str]:
    """Names that subgraphs of nodes mention."""
    found: Set[str] = set()
    for node in nodes:
        for graph in _graphs(node):
            for inner in graph.node:
                found.update((*inner.input, *inner.output))
            found.update(value.name for value in (*graph.input, *graph.output))
            found.update(weight.name for weight in graph.initializer)
            found |= _used_inside(graph.node)
    return found


def weights_of(model: Any) -> Dict[str, Any]:
    """The weights by name."""
    return {weight.name: weight for weight in model.graph.initializer}


def weighted_nodes(model: Any) -> List[Any]:
    """The nodes that multiply by weights: what quantisation is about."""
    weights = weights_of(model)
    return [
        node
        for node in model.graph.node
        if node.op_type in WEIGHTED and any(name in weights for name in node.input)
    ]


def float_bytes(model: Any, nodes: Iterable[Any]) -> int:
    """Bytes of the floating-point weights of nodes."""
    weights = weights_of(model)
    names = {name for node in nodes for name in node.input if name in weights}
    return sum(numpy_helper.to_array(weights[name]).nbytes for name in sorted(names))


def session(model: Any) -> Any:
    """An ONNX Runtime session of a model or its bytes, one thread, no spinning."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = model if isinstance(model, (bytes, str)) else model.SerializeToString()
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def sqnr_db(reference: List[Array], answers: List[Array]) -> float:
    """Signal to noise of answers against the reference, over all of them; at most 300."""
    signal = sum(float((r.astype(np.float64) ** 2).sum()) for r in reference)
    noise = sum(
        float(((r.astype(np.float64) - a.astype(np.float64)) ** 2).sum())
        for r, a in zip(reference, answers, strict=True)
    )
    if signal == 0.0:
        return 300.0 if noise == 0.0 else 0.0
    return min(300.0, float(10 * np.log10(signal / max(noise, signal * 1e-30))))


def answers(running: Any, feeds: Iterable[Mapping[str, Array]]) -> List[Array]:
    """Every output of every sample, flat, one array a sample."""
    return [
        np.concatenate([np.asarray(out, np.float32).ravel() for out in running.run(None, dict(f))])
        for f in feeds
    ]
