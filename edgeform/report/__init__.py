"""What people and programs see: events as they happen, and results at the end.

Three renderers over one stream of events (tty, plain, jsonl), tables, painted plans. Results go to
standard output, talk to standard error; nothing here decides anything.
"""

from edgeform.report.choose import Form, Talk, choose, open_talk
from edgeform.report.paint import paint
from edgeform.report.tables import Column, table

__all__ = ["Column", "Form", "Talk", "choose", "open_talk", "paint", "table"]
