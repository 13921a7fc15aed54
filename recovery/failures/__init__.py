"""What went wrong: an error of any shape becomes a kind, a signature and a time to try again.

The table that decides is ``engine.RULES``; :func:`classify` has it walked. Texts that merely sound
like a provider's error (a tool's traceback, a log, prose) are told apart in ``decoys``. The table
is loaded with the first failure.
"""

from __future__ import annotations

from recovery.failures.classify import assistant_overflow, classify
from recovery.failures.kinds import RETRYABLE, Failure, Kind, Zones
from recovery.failures.signature import MAX_SIGNATURE, OVERFLOW_SIGNATURE, sign

__all__ = [
    "MAX_SIGNATURE",
    "OVERFLOW_SIGNATURE",
    "RETRYABLE",
    "Failure",
    "Kind",
    "Zones",
    "assistant_overflow",
    "classify",
    "sign",
]
