"""Logs in tables, and detectors over them, through nothing but SQL."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import psycopg

from eval.logs import COLUMNS, Line

# The ERROR rule is off: what is measured is what was learnt. Nothing else differs from the defaults.
LEARNT_ALONE = {"severity_override": "never"}


@dataclass(frozen=True)
class Verdicts:
    """What a detector says of rows, in their order."""

    labels: np.ndarray
    flagged: np.ndarray
    scores: np.ndarray
    distances: np.ndarray
    reasons: list[str]

    @property
    def truth(self) -> np.ndarray:
        """Which rows are anomalous by their labels."""
        return self.labels == "anomalous"


class Database:
    """A connection to the server that the environment names."""

    def __init__(self) -> None:
        self.connection = psycopg.connect(autocommit=True)
        # Too little history is what some tasks are about.
        self.run("SET client_min_messages = error")
        self.run("CREATE EXTENSION IF NOT EXISTS logintel")

    def run(self, sql: str, *arguments: object) -> None:
        """Runs statements whose result nobody needs."""
        self.connection.execute(sql, arguments or None)

    def rows(self, sql: str, *arguments: object) -> list[tuple]:
        """All rows of a query."""
        return self.connection.execute(sql, arguments or None).fetchall()

    def value(self, sql: str, *arguments: object):
        """The first column of a query's only row."""
        return self.rows(sql, *arguments)[0][0]

    def load(self, table: str, lines: Iterable[Line]) -> None:
        """Makes a table of lines, numbered in their order."""
        self.run(f"DROP TABLE IF EXISTS {table} CASCADE; CREATE TABLE {table} ({COLUMNS})")
        with (
            self.connection.cursor() as cursor,
            cursor.copy(f"COPY {table} FROM STDIN") as copy,
        ):
            for number, line in enumerate(lines, start=1):
                copy.write_row(line.row(number))
        self.run(f"ANALYZE {table}")

    def choose(self, what: Iterable, kind: str = "int") -> None:
        """The table `chosen` (what): numbers of rows, or names of sessions."""
        self.run(
            f"DROP TABLE IF EXISTS chosen CASCADE; CREATE TABLE chosen (what {kind} PRIMARY KEY)"
        )
        with (
            self.connection.cursor() as cursor,
            cursor.copy("COPY chosen FROM STDIN") as copy,
        ):
            for one in what:
                copy.write_row((one,))
        self.run("ANALYZE chosen")

    def train(self, relation: str, options: dict) -> None:
        """Trains the detector `eval` on all of a table or view."""
        if self.rows("SELECT FROM logintel.detectors WHERE name = 'eval'"):
            self.run("SELECT logintel.drop_detector('eval')")
        self.run(
            "SELECT logintel.create_detector('eval', %s, options => %s)",
            relation,
            json.dumps(options),
        )
        self.run("SELECT logintel.train('eval')")

    def train_on(self, table: str, ids: Iterable[int], options: dict) -> None:
        """Trains the detector `eval` on some rows of a table."""
        self.choose(ids)
        self.run(
            f"CREATE OR REPLACE VIEW chosen_lines AS SELECT t.* FROM {table} AS t JOIN chosen ON id = what"
        )
        self.train("chosen_lines", options)

    def verdicts(self, table: str, ids: Iterable[int]) -> Verdicts:
        """What the detector `eval` says of rows of a table."""
        self.run("DROP VIEW IF EXISTS chosen_lines")
        self.choose(ids)
        found = self.rows(
            f"""SELECT label, (d).is_anomaly, (d).anomaly_score, (d).distance, (d).reason
                FROM (SELECT id, label, logintel.detect('eval', message, level, component, source) AS d
                      FROM {table} JOIN chosen ON id = what OFFSET 0) AS judged ORDER BY id"""
        )
        labels, flagged, scores, distances, reasons = zip(*found, strict=True)
        return Verdicts(
            labels=np.array(labels, dtype=object),
            flagged=np.array(flagged, dtype=bool),
            # Scores tie at 1 beyond all of history; there the distance ranks.
            scores=np.array(scores) + 1e-6 * np.array(distances),
            distances=np.array(distances),
            reasons=list(reasons),
        )
