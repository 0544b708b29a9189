"""A worked model in the closure of another engine than the one that made its goldens, as the site says it may run."""

from support.engines import base_python, closure_lib, own_lib
from support.worked import judged, worked

from edgeform_device.checks import first_failure, is_acceptable


def test_openvino_gives_the_goldens_that_onnxruntime_made_of_scratch(request, tmp_path):
    """The class `intel-nuc` computes on OpenVINO's CPU in f32; the file is the same."""
    pipeline = worked("scratch", device="ber-nuc-01")
    assert pipeline.engine == "openvino"
    lib = closure_lib("openvino", request.config.cache.mkdir("edgeform-closures"))
    environ = {"PYTHONPATH": f"{own_lib(tmp_path)}:{lib}", "PYTHONDONTWRITEBYTECODE": "1"}
    results = judged(pipeline, environ=environ, python=(base_python(), "-s"))
    assert first_failure(results) == ""
    assert is_acceptable(results)
    assert {r.name: r.verdict for r in results}["golden"] == "pass"
