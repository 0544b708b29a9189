"""Small ONNX files."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def a_model_file(name="x"):
    """The bytes of y = x w, with 30 weights."""
    weights = numpy_helper.from_array(np.ones((10, 3), np.float32), "w")
    x = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 10])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(
        [helper.make_node("MatMul", [name, "w"], ["y"])], "g", [x], [y], [weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()
