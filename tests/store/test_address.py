"""Where threads are kept, as people name it: no password is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from goalfsm.errors import GoalError
from goalfsm.store.address import Server, address


def test_word_is_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert address("goals.db") == tmp_path / "goals.db"
    assert address("postgresql.db") == tmp_path / "postgresql.db"


@pytest.mark.parametrize("url", ["postgresql:///goals", "postgres://u@h:5433/goals?host=/run"])
def test_url_is_a_server(url: str) -> None:
    server = address(url)
    assert isinstance(server, Server)
    assert (server.url, str(server), server.named()) == (url, url, url)
    assert server == Server(url) != Server(f"{url}x")
    assert len({server, Server(url)}) == 1


def test_url_of_something_else_is_refused() -> None:
    with pytest.raises(GoalError) as raised:
        address("mysql://h/goals")
    assert raised.value.code == "database_invalid"
    assert "postgresql://" in raised.value.hint


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://u:s3cret@h/db", "postgresql://u@h/db"),
        ("postgresql://u:s3%63ret@h/db", "postgresql://u@h/db"),
        ("postgresql://u:s3c/ret@h/db", "postgresql://u@h/db"),
        ("postgresql://u:s3c@ret@h/db", "postgresql://u@h/db"),
        ("postgresql://h/db?password=s3cret", "postgresql://h/db"),
        (
            "postgresql://h/db?user=u&password=s3cret&host=/run",
            "postgresql://h/db?user=u&host=/run",
        ),
        ("postgresql://h/db?PASSWORD=s3cret&sslpassword=s3cret2", "postgresql://h/db"),
    ],
)
def test_password_is_not_shown(url: str, named: str) -> None:
    server = Server(url)
    for shown in (str(server), repr(server), f"{server}", server.named()):
        assert "s3c" not in shown
        assert "ret" not in shown
    assert "***" in str(server)
    assert server.named() == named


def test_words_of_others_lose_the_password() -> None:
    server = Server("postgresql://u:s3%63ret@h/db")
    said = f"no entry for {server.url} with s3cret or s3%63ret"
    assert server.without_secrets(said) == f"no entry for {server} with *** or ***"
