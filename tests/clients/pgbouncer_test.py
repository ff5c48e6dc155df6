"""pgbouncer in transaction pooling, with one connection to the server: what names the model, and what leaks."""

import asyncio

import asyncpg
import psycopg

SEARCH = "SELECT metadata->>'caption' FROM clip_search('photos', 'frog', k => 1)"


def connect():
    # This pgbouncer knows no prepared statements.
    connection = psycopg.connect(autocommit=True)
    connection.prepare_threshold = None
    return connection


async def asyncpg_search():
    connection = await asyncpg.connect(statement_cache_size=0)
    for _ in range(2):
        assert await connection.fetchval(SEARCH.replace("'frog'", "$1"), "frog") == "frog"
    await connection.close()


def refused(connection):
    try:
        connection.execute(SEARCH)
    except psycopg.Error as error:
        assert "clip-search/missing" in error.diag.message_primary, error
    else:
        raise AssertionError("a search with a missing model succeeded")


with connect() as one, connect() as other:
    # The database names a model that is not installed.
    refused(one)

    # SET LOCAL ends with its transaction, in which the other client has to wait.
    with one.transaction():
        one.execute("SET LOCAL clip_search.model = 'clip-search/emoji'")
        assert one.execute(SEARCH).fetchone() == ("frog",)
    refused(one)
    refused(other)

    named = "SELECT metadata->>'caption' FROM clip_search('photos', 'frog', k => 1, model => 'clip-search/emoji')"
    assert other.execute(named).fetchone() == ("frog",)

    # SET stays in the connection to the server: another client has it, and this one may not.
    one.execute("SET clip_search.model = 'clip-search/emoji'")
    assert other.execute(SEARCH).fetchone() == ("frog",)
    one.execute("RESET clip_search.model")
    refused(other)

    # For a role: from the next connection to the server on. Its own may be set where the library is loaded, as here.
    one.execute("ALTER ROLE app SET clip_search.model = 'clip-search/emoji'")
    with psycopg.connect(dbname="pgbouncer", user="postgres", autocommit=True) as console:
        console.execute("RECONNECT")
    assert other.execute(SEARCH).fetchone() == ("frog",)
    asyncio.run(asyncpg_search())
    other.execute("ALTER ROLE app RESET clip_search.model")
