"""Time zones by the names that providers and machines use."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from goalfsm.daemon.host import zones
from goalfsm.daemon.host.platform import SystemClock
from goalfsm.daemon.host.zones import local_name, zone

SUMMER = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def machine_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let a test set the machine's zone."""
    with monkeypatch.context() as patch:
        patch.delenv("TZ", raising=False)
        yield patch
    time.tzset()


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        ("Europe/Paris", 2),
        ("europe/paris", 2),
        ("America/New_York", -4),
        ("PT", -7),
        ("EDT", -4),
        ("UTC", 0),
        ("+05:30", 5.5),
        ("-0800", -8),
        ("UTC+2", 2),
    ],
)
def test_a_zone_is_found_by_its_name(name: str, hours: float) -> None:
    found = zone(name)
    assert found is not None
    assert SUMMER.astimezone(found).utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "+99"])
def test_what_is_no_zone_is_none(name: str) -> None:
    assert zone(name) is None


def test_the_machines_zone_is_what_tz_says(machine_zone: pytest.MonkeyPatch) -> None:
    machine_zone.setenv("TZ", ":Asia/Tokyo")
    assert local_name(0.0) == "Asia/Tokyo"
    assert SystemClock().zone() == "Asia/Tokyo"


def test_the_machines_zone_is_what_its_local_time_links_to(
    machine_zone: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = tmp_path / "zoneinfo" / "Europe" / "Berlin"
    there.parent.mkdir(parents=True)
    there.touch()
    link = tmp_path / "localtime"
    link.symlink_to(there)
    machine_zone.setattr(zones, "_LOCALTIME", link)
    assert local_name(0.0) == "Europe/Berlin"


def test_a_zone_without_a_name_is_its_offset(
    machine_zone: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A rule in TZ that is no name: what it means at the moment."""
    machine_zone.setattr(zones, "_LOCALTIME", tmp_path / "none")
    machine_zone.setenv("TZ", "XYZ-5:45")
    assert os.environ["TZ"] == "XYZ-5:45"
    time.tzset()
    assert local_name(SUMMER.timestamp()) == "+05:45"
    found = zone("+05:45")
    assert found is not None
    assert found.utcoffset(None) == timedelta(hours=5, minutes=45)
