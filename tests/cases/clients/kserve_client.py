"""What a user of KServe's inference client writes, unchanged: `kserve_client.py HOST:PORT TENSOR TOKEN`."""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

address, path, token = sys.argv[1:4]
# Both clients write into the headers they are given, so each call gets its own.
authorization = {"Authorization": f"Bearer {token}"} if token else {}
tensor = np.fromfile(path, "<f4").reshape(1, 1, 64, 64)


async def main() -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    base = f"http://{address}"
    found = {
        "live": await client.is_server_live(base, headers=dict(authorization)),
        "ready": await client.is_server_ready(base, headers=dict(authorization)),
        "model_ready": await client.is_model_ready(base, "digits", headers=dict(authorization)),
    }
    for form in (True, False):
        given = InferInput("image", [1, 1, 64, 64], "FP32")
        given.set_data_from_numpy(tensor, binary_data=form)
        request = InferRequest("digits", [given], request_id="7")
        answer = await client.infer(base, request, model_name="digits", headers=dict(authorization))
        found["binary" if form else "json"] = answer.outputs[0].as_numpy().ravel().tolist()
        found["id"] = answer.id
    print(json.dumps(found))


asyncio.run(main())
