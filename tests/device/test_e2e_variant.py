"""From a recipe to a device: FP32 runs, INT8 is built, planned, applied and proven there, and undone."""

import pytest
from support.building import LAB, a_variant_text, need_builders
from support.here import a_site_here

INT8 = a_variant_text("onnx-int8", "[clean, int8]")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_int8_variant_is_built_and_takes_the_place_of_fp32_on_a_device(tmp_path, capsys):
    need_builders("onnx")
    made = a_site_here(tmp_path, capsys, port=18970)
    devices = made.site / "devices.yaml"
    devices.write_text(
        devices.read_text().replace("    - {name: away, connect: {mode: offline}}\n", "")
    )
    (made.site / "data").symlink_to(LAB / "data")
    try:
        assert made.run("lock", ".").code == 0
        first = made.run("apply", ".", "--yes")
        assert first.code == 0, first.err
        models = made.site / "models.yaml"
        models.write_text(models.read_text().replace("  variants:\n", "  variants:\n" + INT8, 1))
        blocked = made.run("plan", ".")
        assert blocked.code == 3
        assert "edgeform build" in blocked.out
        built = made.run("build", ".")
        assert built.code == 0, built.err
        plan = made.run("plan", ".")
        assert "1.0.0 onnx-f32 -> 1.0.0 onnx-int8" in plan.out
        assert "accuracy not measured -> 0.97" in plan.out
        assert "size 799.4 kB -> 2" in plan.out
        second = made.run("apply", ".", "--yes")
        assert second.code == 0, second.err
        assert "configuration: pass: int8" in second.err
        assert "18 of 18 goldens" in second.err
        assert made.run("rollback", ".", "here-1", "--yes").code == 0
        back = made.run("plan", ".")
        assert "1.0.0 onnx-f32 -> 1.0.0 onnx-int8" in back.out
    finally:
        made.end()
