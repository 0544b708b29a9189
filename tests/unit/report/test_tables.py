from dataclasses import replace

from support.documents import a_receipt, a_signed_receipt
from support.plan import a_virgin, an_absentee, digest

from edgeform.domain.observed import (
    DriftFound,
    InstalledTool,
    PendingTransaction,
    PipelineHealth,
    Unreachability,
)
from edgeform.report.tables import (
    Column,
    Finding,
    GenerationRow,
    doctor_table,
    generations_table,
    receipts_table,
    status_table,
    table,
)
from edgeform_wire.receipt import SignedReceipt


def test_columns_are_aligned_and_lines_have_no_blanks_at_the_end():
    columns = (Column(title="NAME"), Column(title="N", right=True), Column(title="WHAT"))
    text = table(columns, [("a", "1", ""), ("longer", "23", "x")])
    assert text == "NAME     N  WHAT\na        1\nlonger  23  x\n"


def test_a_table_without_rows_is_its_titles():
    assert table((Column(title="A"), Column(title="B")), []) == "A  B\n"


def test_status_tells_every_situation(golden):
    healthy = replace(
        a_virgin("cam-01"),
        tool=InstalledTool(version="0.1.0", digest=digest("t")),
        current=2,
        committed=2,
        generation_digest=digest("g"),
        health=(PipelineHealth(name="digits", state="active"),),
    )
    drift = DriftFound(kind="file", path="labels.txt", expected="a", actual="b")
    sick = PipelineHealth(name="digits", state="failed", detail="exit 1")
    busy = PendingTransaction(id="t", phase="soak", to_generation=3, who="ci", until="10:05")
    golden(
        "report/status.txt",
        status_table(
            (
                healthy,
                replace(healthy, device="cam-02", drift=(drift,)),
                replace(healthy, device="cam-03", health=(sick,)),
                replace(healthy, device="cam-04", transaction=busy),
                replace(healthy, device="cam-05", needs_hands="both generations fail"),
                a_virgin("cam-06"),
                an_absentee("cam-07", Unreachability.HOST_KEY),
            )
        ),
    )


def test_receipts_tell_how_they_are_signed(golden):
    unsigned = SignedReceipt(receipt=a_receipt(seq=2, signing="unsigned"), signature=None)
    golden("report/receipts.txt", receipts_table((a_signed_receipt(), unsigned)))


def test_generations_read_as_reviewed(golden):
    row = GenerationRow(
        number=2,
        digest=digest("g"),
        state="current",
        deployment=7,
        road="ssh",
        wall_time="2026-03-01T10:00:00Z",
    )
    old = replace(row, number=1, state="kept", deployment=6)
    golden("report/generations.txt", generations_table((row, old)))


def test_the_doctor_says_what_to_do_below_what_is_wrong(golden):
    findings = (
        Finding(name="ssh", state="ok", detail="OpenSSH 9.2", hint="not shown"),
        Finding(name="ansible", state="missing", hint="pip install 'edgeform[ansible]'"),
        Finding(name="qemu", state="skipped", detail="only for the vm tier"),
    )
    golden("report/doctor.txt", doctor_table(findings))


def test_a_device_cannot_break_out_of_its_cell():
    text = status_table((an_absentee("cam-01\n\x1b[31mcam-02"),))
    assert text.count("\n") == 2
    assert "\x1b" not in text
