"""What does a tick of the worker cost, and does it depend on history?"""

from statistics import median

from bench.measure import Seconds, interleave, say
from bench.results import Check, Part, Row, Target
from bench.server import Server
from bench.sizes import Sizes

NEW = 1_000
MANY = 100_000
# A tick with new anomalies beside ten million old ones, against one beside none.
CONSTANT = Target(2, at_least=False)
TWO_SECONDS = Target(2, at_least=False)
# What the detector keeps: an incident of old anomalies for each so many.
OLD_INCIDENT = 50

ANOMALIES = """INSERT INTO logintel.anomalies
    (detector, ts, recorded_at, source, component, level, message, template, anomaly_score, reason, incident_id, is_grouped)"""


def measure(server: Server, sizes: Sizes) -> Part:
    """Times ticks beside more and more history, and the grouping of many anomalies."""
    part = Part()
    server.run("CREATE TABLE IF NOT EXISTS tick_log (ts timestamptz, message text)")
    server.run(
        "SELECT logintel.create_detector('tick', 'tick_log') WHERE NOT EXISTS "
        "(SELECT FROM logintel.detectors WHERE name = 'tick')"
    )
    _many(server, sizes, part)
    _history(server, sizes, part)
    server.run("SELECT logintel.drop_detector('tick'); DROP TABLE tick_log")
    return part


def _tick(server: Server) -> float:
    """Seconds of all steps but the refresh of the views, whose share of the time is bounded; by the server's clock."""
    # As a client sees it, a tick is one CALL; its steps tell their own times.
    server.run("CALL logintel.run_maintenance()")
    return float(
        server.value(
            "SELECT extract(epoch FROM sum(last_duration)) FROM logintel.worker_steps "
            "WHERE step IN ('grouping', 'retention', 'rates') AND detector IS NOT DISTINCT FROM 'tick'"
        )
    )


def _refresh(server: Server) -> float:
    return float(
        server.value(
            "SELECT extract(epoch FROM last_duration) FROM logintel.worker_steps WHERE step = 'views'"
        )
    )


def _empty(server: Server) -> None:
    server.run("TRUNCATE logintel.anomalies, logintel.incidents CASCADE")


def _fresh(server: Server, count: int, per_incident: int) -> None:
    """New anomalies: each incident an hour after the one before and of another kind, for it begins with another component."""
    server.run(
        f"""{ANOMALIES}
        SELECT 'tick', timestamptz '2026-06-01' + i / {per_incident} * interval '1 hour' + i % {per_incident} * interval '0.01 s',
               now(), 'host' || i % 5, 'component ' || (i / {per_incident} + i) % 20, 'ERROR', 'new line ' || i, 'new line <*>', 1, 'ERROR_level', NULL, false
        FROM generate_series(1, {count}) AS i"""
    )


def _many(server: Server, sizes: Sizes, part: Part) -> None:
    """How long does it take to make incidents of many anomalies?"""
    for what, per_incident in (
        ("1 incident", MANY + 1),
        ("1,000 incidents", MANY // 1_000),
        ("20,000 incidents", MANY // 20_000),
    ):
        say(f"    {MANY:,} anomalies, {what}")

        def run(per_incident: int = per_incident) -> float:
            _empty(server)
            _fresh(server, MANY, per_incident)
            return _tick(server)

        seconds = interleave(sizes.runs, {"logintel": run})
        # The first and the last have fewer: one anomaly is no incident, and the first may be of the second's kind.
        incidents, events = server.value(
            "SELECT ARRAY[count(*), sum(event_count)::bigint] FROM logintel.incidents"
        )
        part.checks.append(
            Check(
                f"{MANY:,} anomalies become {what}",
                abs(incidents - MANY / min(per_incident, MANY)) <= 1
                and MANY - events <= 1,
                f"{incidents:,} of {events:,}",
            )
        )
        part.rows.append(
            Row(
                work=f"{MANY:,} new anomalies become {what}",
                against="in seconds",
                value=median(seconds["logintel"]),
                unit="s",
                target=TWO_SECONDS,
                seconds=seconds,
            )
        )


def _history(server: Server, sizes: Sizes, part: Part) -> None:
    """Does a tick with 1,000 new anomalies cost more beside much history?"""
    seconds: Seconds = {}
    refreshes: Seconds = {}
    _empty(server)
    held = 0
    # Ten times as many as there are lines: ten million where the bench is whole.
    for history in (0, sizes.lines, 10 * sizes.lines):
        say(f"    {history:,} past anomalies")
        while held < history:
            _past(server, held, held + min(sizes.lines, 1_000_000))
            held += min(sizes.lines, 1_000_000)
        # As autovacuum leaves them.
        server.run("ANALYZE logintel.anomalies, logintel.incidents")
        runs: list[float] = []
        shown: list[float] = []
        for number in range(sizes.runs + 1):
            _fresh(server, NEW, 10)
            took = _tick(server)
            # The first fills the caches.
            if number > 0:
                runs.append(took)
                shown.append(_refresh(server))
                say(
                    f"      {number}/{sizes.runs}  {took:.3g} s, views {shown[-1]:.3g} s"
                )
            server.run(
                "DELETE FROM logintel.anomalies WHERE ts >= '2026-06-01'; DELETE FROM logintel.incidents WHERE start_time >= '2026-06-01'"
            )
        seconds[f"{history:,}"] = runs
        refreshes[f"{history:,}"] = shown
    most = f"{10 * sizes.lines:,}"
    sides = {"logintel": seconds[most], "no history": seconds["0"]}
    part.rows.append(
        Row(
            work=f"a tick with {NEW:,} new anomalies beside {most} past ones",
            against="beside none",
            value=median(sides["logintel"]) / median(sides["no history"]),
            target=CONSTANT,
            seconds=sides,
            note="past anomalies, the tick, and the refresh of the views, after which the worker rests twenty times as long: "
            + "; ".join(
                f"{history}: {median(seconds[history]) * 1000:.3g} ms, {median(refreshes[history]):.3g} s"
                for history in seconds
            ),
        )
    )
    part.facts.append(
        "A tick of the worker is timed by itself, in `worker_stats`: `rates`, `grouping` and `retention` of the detector. Past anomalies are "
        f"in incidents of {OLD_INCIDENT}, an hour apart; the {NEW:,} new ones make incidents of ten. Many anomalies come in one transaction; "
        "each incident's are within a second or, where there is but one, a quarter of an hour."
    )


def _past(server: Server, since: int, until: int) -> None:
    """History: incidents an hour apart, of 50 anomalies each, as they are after grouping."""
    # What is made here need not be checked against each other.
    server.run("SET session_replication_role = replica")
    server.run(
        f"""INSERT INTO logintel.incidents (incident_id, detector, fingerprint, title, status, severity, severity_score, start_time, end_time,
            event_count, sources, components, levels, messages)
        SELECT 100000000 + n, 'tick', md5(n::text), 'past', 'resolved', 'HIGH', 55, t, t + interval '49 s', {OLD_INCIDENT}, '{{host}}',
               ARRAY['component ' || n % 20], '{{ERROR}}', '{{past}}'
        FROM generate_series({since // OLD_INCIDENT}, {until // OLD_INCIDENT} - 1) AS n,
             LATERAL (SELECT timestamptz '2000-01-01' + n * interval '1 hour' AS t) AS at"""
    )
    server.run(
        f"""{ANOMALIES}
        SELECT 'tick', timestamptz '2000-01-01' + i / {OLD_INCIDENT} * interval '1 hour' + i % {OLD_INCIDENT} * interval '1 s', now(), 'host',
               'component ' || i / {OLD_INCIDENT} % 20, 'ERROR', 'past line ' || i, 'past line <*>', 1, 'ERROR_level',
               100000000 + i / {OLD_INCIDENT}, true
        FROM generate_series({since}, {until} - 1) AS i"""
    )
    server.run("RESET session_replication_role")
