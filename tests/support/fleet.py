"""Fleets to draw: one with every situation, and one that is large."""

from edgeform.report.fleet import (
    Commit,
    DeviceRow,
    Fleet,
    Health,
    Lane,
    Latency,
    Moment,
    RunRow,
)

DIGEST = "sha256:" + "5f" * 32
KIM = Commit(
    digest="a1b2c3d4e5" + "0" * 30, author="Kim", time_s=1_772_000_000, subject="digits 1.4.2"
)


def a_row(n: int, **changed) -> DeviceRow:
    known = {
        "device": f"ber-cam-{n:05}",
        "hardware_class": ("orin-nano", "pi-5-hailo", "intel-nuc")[n % 3],
        "models": ("digits 1.4.2", "valves 2.0.1")[: 1 + n % 2],
        "generation": 7,
        "digest": DIGEST,
        "health": Health.HEALTHY,
        "words": ("clean",),
        "receipts": 7,
        "is_signed": True,
        "last_result": "committed",
        "last_time": "2026-03-02T02:20:11Z",
        "latencies": (
            Latency(pipeline="gate", p50_ms=(21.0, 22.5, 20.4, 24.0 + n % 5), budget_ms=30.0),
        ),
    }
    return DeviceRow(**(known | changed))


def a_moment(n: int, **changed) -> Moment:
    known = {
        "time": f"2026-03-02T02:{20 - n % 20:02}:11Z",
        "device": f"ber-cam-{n:05}",
        "result": "committed",
        "from_generation": 6,
        "to_generation": 7,
        "digest": DIGEST,
        "road": "ssh",
        "reason": "",
        "commit": KIM,
    }
    return Moment(**(known | changed))


def a_fleet(count: int = 12, **changed) -> Fleet:
    """`count` devices, of which the first few are in every situation there is."""
    odd = (
        {"health": Health.NEEDS_HANDS, "words": ("drift",), "notes": ("healthy on neither generation",)},
        {"words": ("drift", "pending"), "notes": ("file trees/5f5f/model.onnx", "1 change waiting for an apply")},
        {"words": ("held",), "notes": ("failed before (5f5f5f5f5f5f): golden 3 of 8 differ",)},
        {"health": Health.UNREACHABLE, "words": ("unknown",), "notes": ("timeout: no answer within 10 s",), "generation": 0},
        {"health": Health.BUSY, "words": ("pending",), "notes": ("ci has a transaction under way",)},
        {"chain": "line 3: it does not follow the line before it", "is_signed": False},
        {"health": Health.NEW, "words": ("pending",), "generation": 0, "digest": "", "receipts": 0,
         "latencies": (), "last_result": "", "last_time": ""},
        {"latencies": (Latency(pipeline="gate", p50_ms=(25.0, 27.0, 33.0), budget_ms=30.0),)},
    )  # fmt: skip
    rows = tuple(a_row(n, **(odd[n] if n < len(odd) else {})) for n in range(count))
    moments = tuple(a_moment(n) for n in range(2, min(count, 400)))
    moments = (
        a_moment(1, result="rolled_back", reason="golden: 3 of 8 outputs differ by more than 1e-3"),
        *moments,
    )
    runs = (
        RunRow(number=12, who="ci@runner-2", started="2026-03-02T02:15:02Z", finished="", exit_code=None,
               counts=(("committed", 4), ("touched", 2), ("waiting", 6))),
        RunRow(number=11, who="kim@desk", started="2026-03-01T09:12:40Z", finished="2026-03-01T09:14:01Z",
               exit_code=5, counts=(("committed", 11), ("rolled_back", 1))),
    )  # fmt: skip
    lanes = (
        Lane(sources=("image directory",), pipelines=("gate",), hardware_class="orin-nano",
             sinks=("store",), devices=tuple(r.device for r in rows if r.hardware_class == "orin-nano")),
        Lane(sources=("http push", "image directory"), pipelines=("gate", "valves"),
             hardware_class="pi-5-hailo", sinks=("store", "webhook"),
             devices=tuple(r.device for r in rows if r.hardware_class == "pi-5-hailo")),
        Lane(sources=("image directory",), pipelines=("valves",), hardware_class="intel-nuc", sinks=(),
             devices=tuple(r.device for r in rows if r.hardware_class == "intel-nuc")),
    )  # fmt: skip
    known = {
        "site": "berlin",
        "made_at": "2026-03-02T08:00:00Z",
        "looked_at": "2026-03-02T08:00:00Z",
        "rows": rows,
        "moments": moments,
        "runs": runs,
        "lanes": lanes,
    }
    return Fleet(**(known | changed))
