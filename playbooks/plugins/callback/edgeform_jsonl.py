# One JSON object a line, for edgeform. Results marked no_log are told without their content.
from __future__ import annotations

DOCUMENTATION = """
name: edgeform_jsonl
type: stdout
short_description: one JSON object per task and host
description: What edgeform bootstrap reads; one object a line.
"""

import json
import sys

from ansible.plugins.callback import CallbackBase

SHOWN = 400


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "edgeform_jsonl"

    def _tell(self, **fields):
        sys.stdout.write(json.dumps(fields, sort_keys=True) + "\n")
        sys.stdout.flush()

    def _task(self, result, outcome):
        found = result._result  # noqa: SLF001  # the documented way for callbacks
        hidden = bool(found.get("_ansible_no_log") or result._task.no_log)  # noqa: SLF001
        detail = found.get("msg") or found.get("stderr") or found.get("module_stderr") or ""
        self._tell(
            event="task",
            host=result._host.get_name(),  # noqa: SLF001
            task=result._task.get_name(),  # noqa: SLF001
            outcome=outcome,
            changed=bool(found.get("changed")),
            detail="(hidden)" if hidden else str(detail)[:SHOWN],
        )

    def v2_runner_on_ok(self, result):
        self._task(result, "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._task(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_unreachable(self, result):
        self._task(result, "unreachable")

    def v2_runner_on_skipped(self, result):
        self._task(result, "skipped")

    def v2_playbook_on_stats(self, stats):
        for host in sorted(stats.processed):
            self._tell(event="stats", host=host, **stats.summarize(host))
