"""Exceptions that real client libraries raised, against a server that failed in a known way."""

from __future__ import annotations

from typing import Any

import pytest

from recovery import classify
from tests.recovery.recorded import rebuilt, recorded

RECORDS = recorded()


@pytest.mark.parametrize("record", RECORDS, ids=[f"{r['client']}-{r['case']}" for r in RECORDS])
def test_a_recorded_exception_has_its_kind_and_its_wait(record: dict[str, Any]) -> None:
    failure = classify(rebuilt(record["error"]))
    assert (failure.kind, failure.source) == (record["expect"], "provider")
    if "retry_after" in record:
        assert failure.retry_after == record["retry_after"]


def test_the_records_are_of_many_libraries() -> None:
    assert len({record["client"] for record in RECORDS}) >= 20
    assert len({(record["client"], record["case"]) for record in RECORDS}) == len(RECORDS)
