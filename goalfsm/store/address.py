"""Where threads are kept: the path of a file, or a PostgreSQL server and a database on it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from goalfsm.errors import GoalError

_SCHEMES: Final = ("postgresql://", "postgres://")
# Up to the last @ before the options: who forgets to escape a password must not see it printed.
_USER: Final = re.compile(r"(?<=://)([^/?#@:]*):([^?]+)@")
_SECRET: Final = re.compile(r"(?<=[?&])((?:ssl)?password)=([^&]*)", re.IGNORECASE)


class Server:
    """A database on a PostgreSQL server, by its URL; what is shown of it holds no password."""

    __slots__ = ("shown", "url")

    def __init__(self, url: str) -> None:
        """Take a URL as libpq does: ``postgresql://user@host:port/name?option=value``."""
        self.url = url
        self.shown = _SECRET.sub(r"\1=***", _USER.sub(r"\1:***@", url))

    def __str__(self) -> str:
        """Return the URL with stars in the place of a password."""
        return self.shown

    def __repr__(self) -> str:
        """Return how it is shown: an error or a log may hold it."""
        return f"Server({self.shown!r})"

    def __eq__(self, other: object) -> bool:
        """Tell whether it is the same URL."""
        return isinstance(other, Server) and other.url == self.url

    def __hash__(self) -> int:
        """Return the hash of the URL."""
        return hash(self.url)

    def named(self) -> str:
        """Return the URL without its password, as a hint may name it.

        Whoever runs that command has the password from PGPASSWORD, a password file or a service
        file.
        """
        return _without_parameters(_USER.sub(r"\1@", self.url))

    def without_secrets(self, text: str) -> str:
        """Return a text of the server's or its driver's with stars where it quotes a password."""
        from urllib.parse import unquote  # noqa: PLC0415  only where something went wrong

        text = text.replace(self.url, self.shown)
        for found in (*_USER.finditer(self.url), *_SECRET.finditer(self.url)):
            for secret in {found[2], unquote(found[2])} - {""}:
                text = text.replace(secret, "***")
        return text


Address = Path | Server
"""Where threads are kept."""


def address(text: str) -> Address:
    """Return the place that a person named: a URL of PostgreSQL, else the absolute path of a file.

    Raises GoalError for a URL of anything else.
    """
    if text.startswith(_SCHEMES):
        return Server(text)
    scheme, colon, _ = text.partition("://")
    if colon and scheme.isalnum():
        raise GoalError(
            f"goals are not kept in {scheme}",
            code="database_invalid",
            hint="name a file, or a server as in postgresql://user@host/name",
        )
    return Path(os.path.abspath(text))  # noqa: PTH100  a link's own name is kept


def _without_parameters(url: str) -> str:
    """Return the URL without the parameters that hold a secret."""
    base, mark, query = url.partition("?")
    kept = [part for part in query.split("&") if part and not _SECRET.fullmatch(f"?{part}", 1)]
    return base + (mark + "&".join(kept) if kept else "")
