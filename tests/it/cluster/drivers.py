"""What programs do with their drivers, in the connection mode named as the argument.

Host, port, user, password and database come from libpq's variables, which both drivers read.
"""

import asyncio
import sys

import asyncpg
import psycopg

has_transactions = sys.argv[1] != "statement"


def with_psycopg():
    with psycopg.connect(autocommit=True) as connection:
        # From its sixth use on, psycopg prepares a statement on the server.
        for number in range(20):
            row = connection.execute("SELECT %s::int + 1", (number,)).fetchone()
            assert row == (number + 1,), row
        connection.execute("CREATE TABLE IF NOT EXISTS visits (who text)")
        connection.execute("INSERT INTO visits VALUES (%s)", ("psycopg",), prepare=True)
    if has_transactions:
        with psycopg.connect() as connection:
            connection.execute("INSERT INTO visits VALUES (%s)", ("psycopg",))
            assert connection.execute("SELECT count(*) > 1 FROM visits").fetchone() == (True,)


async def with_asyncpg():
    # Each numbers its statements from one: the same names stand for other statements.
    connections = [await asyncpg.connect() for _ in range(4)]
    for number in range(20):
        for index, connection in enumerate(connections):
            found = await connection.fetchval(f"SELECT $1::int + {index}", number)
            assert found == number + index, (found, number, index)
    await connections[0].execute("INSERT INTO visits VALUES ($1)", "asyncpg")
    if has_transactions:
        async with connections[1].transaction():
            await connections[1].execute("INSERT INTO visits VALUES ($1)", "asyncpg")
            assert await connections[1].fetchval("SELECT count(*) > 1 FROM visits WHERE who = $1", "asyncpg")
    for connection in connections:
        await connection.close()


with_psycopg()
asyncio.run(with_asyncpg())
print("both drivers work")
