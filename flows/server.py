"""Prefect's server as `zarrmill serve` runs it, over SQLite: `python -m flows.server`.

`prefect server start` opens most of its transactions without SQLite's write lock. One that reads, and then wants to
write after another has written, is refused by SQLite at once; the server answers 503, and its client waits 2 s before
it asks again, then 4, 8 ... In a sweep of small recordings that is every tenth request, and both sit idle most of the
time. A transaction that has the lock from its beginning waits some milliseconds instead: SQLite's `BEGIN IMMEDIATE`,
which Prefect itself uses where it sets the state of a run.
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prefect.cli import app
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import temporary_database_config
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


class LockedFromTheBeginning(AioSqliteConfiguration):
    """SQLite, where each transaction that may write has the write lock before it reads."""

    @asynccontextmanager
    async def begin_transaction(
        self,
        session: AsyncSession,
        with_for_update: bool = True,  # noqa: ARG002, FBT001, FBT002 - as Prefect calls it
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        """Begin one, however it is asked for."""
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


def main() -> None:
    """Run the server until it is told to end, with the settings of the environment, as `prefect server start` does."""
    sys.argv[1:] = ["server", "start"]
    with temporary_database_config(LockedFromTheBeginning(PREFECT_API_DATABASE_CONNECTION_URL.value())):
        app()


if __name__ == "__main__":
    main()
