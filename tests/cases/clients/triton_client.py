"""What a user of tritonclient writes, unchanged: `triton_client.py HOST:PORT TENSOR TOKEN`."""

import json
import sys

import numpy as np
import tritonclient.http as triton

address, path, token = sys.argv[1:4]
# Both clients write into the headers they are given, so each call gets its own.
authorization = {"Authorization": f"Bearer {token}"} if token else {}
client = triton.InferenceServerClient(url=address)
tensor = np.fromfile(path, "<f4").reshape(1, 1, 64, 64)
found = {
    "live": client.is_server_live(headers=dict(authorization)),
    "ready": client.is_server_ready(headers=dict(authorization)),
    "model_ready": client.is_model_ready("digits", headers=dict(authorization)),
    "server": client.get_server_metadata(headers=dict(authorization)),
    "model": client.get_model_metadata("digits", "1.0.0", headers=dict(authorization)),
}
for form in (True, False):
    given = triton.InferInput("image", [1, 1, 64, 64], "FP32")
    given.set_data_from_numpy(tensor, binary_data=form)
    wanted = triton.InferRequestedOutput("logits", binary_data=form)
    answer = client.infer("digits", [given], outputs=[wanted], request_id="7", headers=dict(authorization))
    found["binary" if form else "json"] = answer.as_numpy("logits").ravel().tolist()
    found["id"] = answer.get_response()["id"]
plain = triton.InferInput("image", [1, 1, 64, 64], "FP32")
plain.set_data_from_numpy(tensor)
found["defaults"] = client.infer("digits", [plain], headers=dict(authorization)).as_numpy("logits").ravel().tolist()
found["stats"] = client.get_inference_statistics("digits", headers=dict(authorization))
try:
    client.infer("nobody", [plain], headers=dict(authorization))
except triton.InferenceServerException as exc:
    found["refused"] = str(exc)
print(json.dumps(found))
