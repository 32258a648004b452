"""The document itself."""

from __future__ import annotations

import json

from edgeft.evaluation.result import Result


def render(result: Result) -> str:
    return json.dumps(result.document, indent=2, ensure_ascii=False, allow_nan=False)
