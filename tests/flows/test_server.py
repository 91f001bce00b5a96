"""The server of `zarrmill serve`: who writes while another writes has to wait, and is not refused."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.exc import OperationalError

from flows.server import LockedFromTheBeginning

Configuration = Callable[[str], AioSqliteConfiguration]


def read_then_write_at_the_same_time(configuration: Configuration, database: Path) -> int:
    """Two transactions that read the same number, wait for each other, and write one more; gives the number."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE count (number INTEGER)")
        connection.execute("INSERT INTO count VALUES (0)")

    async def one_more(config: AioSqliteConfiguration, read: asyncio.Barrier) -> None:
        session = await config.session(await config.engine())
        async with session, config.begin_transaction(session):
            number = (await session.execute(sqlalchemy.text("SELECT number FROM count"))).scalar_one()
            try:
                async with asyncio.timeout(0.2):  # the other cannot read before this one is done, if it has the lock
                    await read.wait()
            except TimeoutError:
                pass
            await session.execute(sqlalchemy.text("UPDATE count SET number = :more"), {"more": number + 1})

    async def both() -> None:
        config = configuration(f"sqlite+aiosqlite:///{database}")
        read = asyncio.Barrier(2)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(2):
                    group.create_task(one_more(config, read))
        finally:
            await (await config.engine()).dispose()

    asyncio.run(both())
    with closing(sqlite3.connect(database)) as connection:
        number: int = connection.execute("SELECT number FROM count").fetchone()[0]
    return number


def test_a_transaction_waits_for_the_one_that_writes(tmp_path: Path) -> None:
    assert read_then_write_at_the_same_time(LockedFromTheBeginning, tmp_path / "count.db") == 2


def test_prefects_own_are_refused(tmp_path: Path) -> None:
    """The day this fails, our own configuration can go."""
    with pytest.raises(ExceptionGroup) as refusal:
        read_then_write_at_the_same_time(AioSqliteConfiguration, tmp_path / "count.db")
    assert refusal.group_contains(OperationalError, match="locked")
