"""The lab's network as a TFLite file, with the weights of its ONNX file: what LiteRT recipes begin with.

    python to_tflite.py digits/1.0.0/model.onnx model.tflite

Needs torch, litert-torch and onnx, in an environment of their own; edgeform's builders have none of the three
together. Written with torch 2.13.0 (CPU), litert-torch 0.10.0 and onnx 1.23.2 on 2026-11-28.
"""

import sys
from pathlib import Path

import litert_torch
import numpy as np
import onnx
import torch
from network import DigitNet
from onnx import numpy_helper
from torch import nn


def with_weights_of(path: Path) -> nn.Module:
    """The network with the file's weights, whose batch norms the exporter has folded into convolutions."""
    graph = onnx.load(path).graph
    weights = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    folded = [node.input[1:3] for node in graph.node if node.op_type == "Conv"]
    net = DigitNet().eval()
    places = [
        (parent, name)
        for parent in net.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Conv2d)
    ]
    ordered = [
        next(place for place in places if getattr(*place) is one)
        for one in net.modules()
        if isinstance(one, nn.Conv2d)
    ]
    for (parent, name), (weight, bias) in zip(ordered, folded, strict=True):
        old = getattr(parent, name)
        new = nn.Conv2d(
            old.in_channels,
            old.out_channels,
            old.kernel_size,
            old.stride,
            old.padding,
            1,
            old.groups,
        )
        new.weight.data, new.bias.data = tensor(weights[weight]), tensor(weights[bias])
        setattr(parent, name, new)
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
    net.classify.weight.data = tensor(weights["classify.weight"])
    net.classify.bias.data = tensor(weights["classify.bias"])
    return net


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.copy())


if __name__ == "__main__":
    network = with_weights_of(Path(sys.argv[1]))
    litert_torch.convert(network, (torch.zeros(1, 1, 64, 64),)).export(sys.argv[2])
