"""What must hold for the documents of any plan: short enough, parseable, nothing steers its reader."""

import json
import string
from dataclasses import replace
from xml.etree import ElementTree as ET

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.plan import a_wide_plan

from edgeform.diagnostics import Diagnostic
from edgeform.plan import Blocked, Changed, Held, Unreachable
from edgeform.plan import changes as c
from edgeform.report.documents import plan_document
from edgeform.report.markdown import LIMIT, marker

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
BASE = next(d.base for d in a_wide_plan().devices if isinstance(d, Changed))
names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
words = st.text(max_size=60) | st.sampled_from(
    ("```", "`" * 9, "</details>", "]]>", "-->", "\x1b[2J")
)
long_words = (
    words | st.integers(0, 90_000).map("é".__mul__) | st.integers(0, 70_000).map("`".__mul__)
)


def unreachable(name, text):
    return Unreachable(device=name, hardware_class="x", reason="timeout", detail=text, hint=text)


def blocked(name, text):
    problem = Diagnostic(code="EF2103", summary=text, detail=text, hint=text)
    return Blocked(device=name, hardware_class="x", base=None, problems=(problem,))


def held(name, text):
    return Held(
        device=name, hardware_class="x", base=BASE, digest="sha256:" + "0" * 64, detail=text
    )


def changed(name, text):
    field = c.FieldChange(path=text, before=text, after=None)
    change = c.ChangePipeline(name=text, fields=(field,), reason=c.Reason.SPEC_CHANGED, why=text)
    return Changed(
        device=name, hardware_class="x", base=BASE, target=BASE.digest, changes=(change,)
    )


kinds = st.sampled_from((unreachable, blocked, held, changed))
devices = st.lists(st.tuples(kinds, names, long_words), max_size=30, unique_by=lambda d: d[1])
plans = st.builds(
    lambda found, site, selector: replace(
        a_wide_plan(),
        site=site,
        selector=selector,
        devices=tuple(kind(name, text) for kind, name, text in found),
    ),
    devices,
    long_words,
    long_words,
)


@QUICK
@given(plans, words)
def test_a_comment_is_never_too_long_and_always_whole(plan, rest):
    text = plan_document(plan, "markdown", whole="site.yaml", rest=rest)
    assert len(text.encode(errors="surrogatepass")) <= LIMIT
    assert text.startswith(marker(plan.site) + "\n")
    assert text.count("\n<details>") == text.count("\n</details>\n")
    assert "\x1b" not in text


@QUICK
@given(plans)
def test_every_machine_readable_document_can_be_read(plan):
    for form in ("sarif", "codequality"):
        json.loads(plan_document(plan, form, whole="site.yaml", rest=""))
    suites = ET.fromstring(plan_document(plan, "junit", whole="site.yaml", rest="").encode())
    assert int(suites.get("tests")) == len(plan.devices)
