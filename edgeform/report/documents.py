"""Documents of a plan or a site by the name of their format, as `-o` has it."""

from collections.abc import Sequence

from edgeform.diagnostics import Diagnostic
from edgeform.plan import Blocked, Plan
from edgeform.report.codequality import codequality
from edgeform.report.findings import of_diagnostics, of_plan
from edgeform.report.junit import junit
from edgeform.report.markdown import markdown
from edgeform.report.plan_page import plan_page
from edgeform.report.sarif import sarif


def plan_document(plan: Plan, form: str, *, whole: str, rest: str) -> str:
    """The plan in the formats that `plan -o` names.

    Args:
        whole: the site's file, to point at. rest: where a reader finds what a comment has no room for.
    """
    problems = [p for d in plan.devices if isinstance(d, Blocked) for p in d.problems]
    match form:
        case "markdown":
            return markdown(plan, rest=rest)
        case "junit":
            return junit(plan)
        case "sarif":
            return sarif(of_plan(plan), whole=whole, diagnostics=problems)
        case "codequality":
            return codequality(of_plan(plan), whole=whole)
        case "html":
            return plan_page(plan)
        case _:
            raise AssertionError(f"{form} is no document of a plan")


def site_document(diagnostics: Sequence[Diagnostic], form: str, *, whole: str) -> str:
    """A site's problems in the formats that `validate -o` names; an empty report when there are none."""
    findings = of_diagnostics(diagnostics)
    if form == "sarif":
        return sarif(findings, whole=whole, diagnostics=diagnostics)
    return codequality(findings, whole=whole)
