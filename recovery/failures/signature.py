"""The signature of a failure: the same for the same trouble, whatever ids it carries."""

from __future__ import annotations

import re
from typing import Final

MAX_SIGNATURE: Final = 200
OVERFLOW_SIGNATURE: Final = "context_overflow"

_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)
_REQUEST_ID: Final = re.compile(r"\breq[_-][a-z0-9][a-z0-9_-]*", re.IGNORECASE | re.ASCII)
# An id that is announced in words ("request id: 9c84-SJC"); it has a digit, a word has none.
_ANNOUNCED_ID: Final = re.compile(
    r"(\brequest[ _-]?id\W{1,6})(?=[a-z:_-]{0,60}[0-9])[a-z0-9][a-z0-9:_-]{5,}",
    re.IGNORECASE | re.ASCII,
)
_LONG_NUMBER: Final = re.compile(r"\b\d{4,}\b", re.ASCII)


def sign(text: str) -> str:
    """Return the first line of ``text`` with ids and long numbers masked, at most 200 characters.

    ``UUID`` becomes ``<id>``, a request id ``req_<id>``, a number of four or more digits ``<n>``.
    """
    lines = text.strip().lstrip("\ufeff").strip().splitlines()
    if not lines:
        return ""
    line = _UUID.sub("<id>", lines[0].rstrip())
    line = _REQUEST_ID.sub("req_<id>", line)
    line = _ANNOUNCED_ID.sub(r"\1req_<id>", line)
    return _LONG_NUMBER.sub("<n>", line)[:MAX_SIGNATURE]
