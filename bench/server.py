"""The server, timed by itself."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from bench.measure import children, parent, private_memory, say

# How often the server's memory is looked at.
SAMPLE_SECONDS = 0.01


@dataclass(frozen=True)
class Plan:
    """What PostgreSQL says about a statement that it has run."""

    seconds: float
    workers: int
    jit: bool


class Server:
    """A connection to the server that the environment names."""

    def __init__(self) -> None:
        self.connection = psycopg.connect(autocommit=True)
        self.connection.add_notice_handler(
            lambda notice: say(f"      {notice.severity}: {notice.message_primary}")
        )
        self.run("SET client_min_messages = warning")
        # The model of a million lines is larger than what a session keeps by default.
        self.run("SET logintel.model_cache_mem = '1GB'")
        self.run("CREATE EXTENSION IF NOT EXISTS logintel")
        self.run("CREATE EXTENSION IF NOT EXISTS pg_prewarm")

    def run(self, sql: str, *arguments: Any) -> None:
        """Runs statements whose result nobody needs."""
        self.connection.execute(sql, arguments or None)

    def rows(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.connection.execute(sql, arguments or None).fetchall()

    def value(self, sql: str, *arguments: Any) -> Any:
        """The first column of a query's only row."""
        return self.rows(sql, *arguments)[0][0]

    def table(self, name: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Makes a table of rows, ready to be measured."""
        self.run(
            f"DROP TABLE IF EXISTS {name}; CREATE UNLOGGED TABLE {name} ({columns})"
        )
        with (
            self.connection.cursor() as cursor,
            cursor.copy(f"COPY {name} FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
        self.settle(name)

    def table_as(self, name: str, query: str) -> None:
        """Makes a table of a query, ready to be measured."""
        self.run(
            f"DROP TABLE IF EXISTS {name}; CREATE UNLOGGED TABLE {name} AS {query}"
        )
        self.settle(name)

    def settle(self, name: str) -> None:
        """A table as it stands after a while: hint bits set, analysed, in memory."""
        self.run(f"VACUUM (ANALYZE) {name}")
        self.run(f"SELECT pg_prewarm('{name}')")

    def explain(self, query: str) -> Plan:
        """Runs a query in the server, without sending its rows, by the server's clock."""
        plan = self.value(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}")[0]
        workers = max(
            (node.get("Workers Launched", 0) for node in _nodes(plan["Plan"])),
            default=0,
        )
        return Plan(plan["Execution Time"] / 1000, workers, "JIT" in plan)

    def seconds(self, query: str) -> float:
        """The server's time for a query."""
        return self.explain(query).seconds

    def memory(self, query: str) -> int:
        """Most memory that a query takes in all the server's processes, in bytes.

        What is shared or belongs to files does not count. The query runs in a session
        of its own, which holds nothing of earlier ones; looking takes time, so that
        this run is not timed.
        """
        with psycopg.connect(autocommit=True) as session:
            postmaster = parent(session.info.backend_pid)

            def processes() -> int:
                return sum(map(private_memory, children(postmaster)))

            before = most = processes()
            ended = threading.Event()

            def look() -> None:
                nonlocal most
                while not ended.wait(SAMPLE_SECONDS):
                    most = max(most, processes())

            looking = threading.Thread(target=look)
            looking.start()
            try:
                session.execute(query)
            finally:
                ended.set()
                looking.join()
            return most - before


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)
