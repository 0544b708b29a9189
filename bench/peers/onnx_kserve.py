"""The smallest honest ONNX model for KServe's Python server, which has none of its own for ONNX files."""

import sys

import onnxruntime as ort
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class OnnxModel(Model):
    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self._path = path

    def load(self) -> bool:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(
            self._path, options, providers=["CPUExecutionProvider"]
        )
        self.ready = True
        return True

    async def predict(self, payload: InferRequest, *_: object, **__: object) -> InferResponse:
        feeds = {entry.name: entry.as_numpy() for entry in payload.inputs}
        outputs = []
        found = self._session.run(None, feeds)
        for described, array in zip(self._session.get_outputs(), found, strict=True):
            output = InferOutput(name=described.name, shape=list(array.shape), datatype="FP32")
            output.set_data_from_numpy(array, binary_data=True)
            outputs.append(output)
        return InferResponse(
            response_id=payload.id or "0", model_name=self.name, infer_outputs=outputs
        )


if __name__ == "__main__":
    model = OnnxModel("bench", sys.argv[1])
    model.load()
    ModelServer(http_port=int(sys.argv[2]), enable_grpc=False, workers=1).start([model])
