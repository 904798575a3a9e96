"""Writes the dashboards of Grafana, live.json and history.json, with Grafana's own builders: what they cannot express is not there.

    python generate.py FOLDER

Every panel asks views and tables of logintel that a member of logintel_reader may read. What is shown to whom is PostgreSQL's
decision: it depends on the role that the data source connects as.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    common,
    dashboard,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog import builder as cog
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

SOURCE = models.DataSourceRef(type_val="grafana-postgresql-datasource", uid="logintel")
LIVE, HISTORY = "logintel-live", "logintel-history"

# As far as they can be told apart without seeing colours well, and on light and dark.
COLOURS = {
    "critical": "#d1495b",
    "warning": "#edae49",
    "ok": "#3c91a4",
    "HIGH": "#d1495b",
    "MEDIUM": "#edae49",
    "LOW": "#7d8597",
}


class Query(variants.Dataquery):
    """A statement, as the data source of PostgreSQL takes it. The builders have no type of their own for it."""

    def __init__(self, sql: str, shape: str) -> None:
        self.sql = " ".join(sql.split())
        self.shape = shape

    def to_json(self) -> dict[str, Any]:
        return {
            "datasource": SOURCE.to_json(),
            "editorMode": "code",
            "format": self.shape,
            "rawQuery": True,
            "rawSql": self.sql,
            "refId": "A",
        }


class Ask(cog.Builder[variants.Dataquery]):
    """Builds a query."""

    def __init__(self, sql: str, shape: str = "table") -> None:
        self.query = Query(sql, shape)

    def build(self) -> Query:
        return self.query


def panel(
    kind: Callable[[], Any],
    title: str,
    description: str,
    sql: str,
    size: tuple[int, int],
    shape: str = "table",
) -> Any:
    """A panel with what all have: size is in columns of 24, and in rows."""
    width, height = size
    return (
        kind()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(Ask(sql, shape))
        .span(width)
        .height(height)
    )


def coloured(kind: Any) -> Any:
    """Each severity and state in its colour."""
    for name, colour in COLOURS.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        kind = kind.override_by_name(
            name, [models.DynamicConfigValue(id_val="color", value=fixed)]
        )
    return kind


def worded(kind: Any, *columns: str) -> Any:
    """Columns whose words have a colour."""
    mapping = {
        "type": "value",
        "options": {
            word: {"color": colour, "index": at}
            for at, (word, colour) in enumerate(COLOURS.items())
        },
    }
    for column in columns:
        kind = kind.override_by_name(
            column,
            [
                models.DynamicConfigValue(id_val="mappings", value=[mapping]),
                models.DynamicConfigValue(
                    id_val="custom.cellOptions", value={"type": "color-text"}
                ),
                models.DynamicConfigValue(id_val="custom.width", value=100),
            ],
        )
    return kind


def wide(kind: Any, **widths: int) -> Any:
    """Columns of a given width, pixels."""
    for column, width in widths.items():
        kind = kind.override_by_name(
            column, [models.DynamicConfigValue(id_val="custom.width", value=width)]
        )
    return kind


def linked(kind: Any) -> Any:
    """Where an incident is named, its lines are one click away."""
    link = {
        "title": "Its lines",
        "url": f"/d/{HISTORY}?var-incident=${{__value.raw}}&${{detector:queryparam}}&${{__url_time_range}}",
    }
    return kind.override_by_name(
        "incident", [models.DynamicConfigValue(id_val="links", value=[link])]
    )


def number(
    title: str, description: str, sql: str, steps: list[tuple[float | None, str]]
) -> Any:
    """One number, in the colour of the last step that it reaches."""
    thresholds = [models.Threshold(value=at, color=colour) for at, colour in steps]
    reduced = common.ReduceDataOptions().calcs(["lastNotNull"]).fields("")
    return (
        panel(stat.Panel, title, description, sql, (4, 4))
        .reduce_options(reduced)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .color_mode(common_models.BigValueColorMode.BACKGROUND)
        .thresholds(
            dashboard.ThresholdsConfig()
            .mode(models.ThresholdsMode.ABSOLUTE)
            .steps(thresholds)
        )
        .no_value("0")
    )


def bars(title: str, description: str, sql: str, size: tuple[int, int]) -> Any:
    """Counts over time, stacked."""
    stacked = common.StackingConfig().mode(common_models.StackingMode.NORMAL).group("A")
    return (
        panel(timeseries.Panel, title, description, sql, size, "time_series")
        .draw_style(common_models.GraphDrawStyle.BARS)
        .fill_opacity(80)
        .line_width(0)
        .stacking(stacked)
        .decimals(0)
        .min(0)
    )


def variables() -> list[Any]:
    """What both dashboards are filtered by."""
    query = "SELECT name FROM logintel.detectors ORDER BY name"
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    return [
        dashboard.QueryVariable("detector")
        .label("Detector")
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_DASHBOARD_LOAD)
        .multi(True)
        .include_all(True)
        .current(everything)
    ]


def annotation() -> Any:
    """Incidents as marks on each chart."""
    sql = """SELECT start_time AS "time", end_time AS "timeend", title AS "text", severity AS "tags" FROM logintel.incidents
             WHERE $__timeFilter(start_time) AND NOT is_suppressed AND detector IN ($detector) ORDER BY start_time DESC LIMIT 500"""

    class Annotation(models.AnnotationQuery):
        def to_json(self) -> dict[str, object]:
            # The builders know annotations by tags alone.
            return super().to_json() | {
                "rawQuery": " ".join(sql.split()),
                "target": Query(sql, "table").to_json() | {"refId": "Anno"},
            }

    class Build(cog.Builder[models.AnnotationQuery]):
        def build(self) -> models.AnnotationQuery:
            return Annotation(
                name="Incidents",
                datasource=SOURCE,
                enable=True,
                hide=False,
                icon_color=COLOURS["critical"],
            )

    return Build()


def base(title: str, uid: str, other: tuple[str, str], since: str) -> Any:
    """A dashboard with its filters, and a way to the other one."""
    name, path = other
    link = (
        dashboard.DashboardLink(name)
        .type(models.DashboardLinkType.LINK)
        .url(f"/d/{path}")
        .include_vars(True)
        .keep_time(False)
    )
    built = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["logintel"])
        .time(since, "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .annotation(annotation())
        .link(link)
    )
    for variable in variables():
        built = built.with_variable(variable)
    return built


def incidents(title: str, description: str, which: str, height: int) -> Any:
    """Incidents as a table."""
    sql = f"""SELECT incident_id AS incident, start_time, end_time, severity, status, event_count AS events, detector, title, origin
              FROM logintel.incidents WHERE detector IN ($detector) AND {which}"""
    listed = wide(
        panel(table.Panel, title, description, sql, (24, height)),
        incident=90,
        events=80,
        start_time=170,
        end_time=170,
        detector=130,
        origin=130,
    )
    return linked(worded(listed, "severity", "status"))


def live() -> Any:
    """What happens now."""
    calm, look, act = COLOURS["ok"], COLOURS["warning"], COLOURS["critical"]
    here = "FROM logintel.live_status WHERE detector IN ($detector)"
    return (
        base("Live monitoring", LIVE, ("Historical analysis", HISTORY), "now-1h")
        .refresh("10s")
        .with_panel(
            number(
                "Open incidents",
                "Nobody looks after them yet; suppressed ones do not count",
                f"SELECT sum(open_incidents) {here}",
                [(None, calm), (1, act)],
            )
        )
        .with_panel(
            number(
                "Acknowledged",
                "Somebody looks after them",
                f"SELECT sum(acknowledged_incidents) {here}",
                [(None, calm), (1, look)],
            )
        )
        .with_panel(
            number(
                "Anomalies, last minute",
                "Recorded in the last minute",
                f"SELECT sum(anomalies_last_minute) {here}",
                [(None, calm), (1, look)],
            )
        )
        .with_panel(
            number(
                "Anomalies, last hour",
                "Recorded in the last hour",
                f"SELECT sum(anomalies_last_hour) {here}",
                [(None, calm)],
            )
        )
        .with_panel(
            number(
                "Anomalies, last day",
                "Recorded in the last day",
                f"SELECT sum(anomalies_last_day) {here}",
                [(None, calm)],
            )
        )
        .with_panel(
            number(
                "Rows not scored",
                "Rows of the last week that landed without being scored: see logintel.scoring_errors",
                "SELECT coalesce(sum(rows), 0) FROM logintel.scoring_errors WHERE detector IN ($detector)",
                [(None, calm), (1, act)],
            )
        )
        .with_panel(
            bars(
                "Anomalies by component",
                "By the time that the lines tell",
                """SELECT $__timeGroupAlias(ts, $__interval), coalesce(component, 'none') AS metric, count(*) AS anomalies
                   FROM logintel.anomalies WHERE $__timeFilter(ts) AND detector IN ($detector) GROUP BY 1, 2 ORDER BY 1, 2""",
                (24, 8),
            )
        )
        .with_panel(
            incidents(
                "Unresolved incidents",
                "The number leads to the lines",
                "status <> 'resolved' AND NOT is_suppressed ORDER BY severity_score DESC, start_time DESC LIMIT 100",
                8,
            )
        )
        .with_panel(
            linked(
                wide(
                    panel(
                        table.Panel,
                        "Newest anomalies",
                        "With the reason, and how strange each is: 0 is ordinary, 1 was never seen",
                        """SELECT ts, detector, level, component, message, reason, anomaly_score AS score, incident_id AS incident FROM logintel.anomalies
                           WHERE $__timeFilter(ts) AND detector IN ($detector) ORDER BY ts DESC, anomaly_id DESC LIMIT 200""",
                        (24, 9),
                    ),
                    ts=170,
                    detector=130,
                    level=80,
                    component=130,
                    reason=190,
                    score=70,
                    incident=90,
                )
            )
        )
        .with_panel(
            wide(
                panel(
                    table.Panel,
                    "The live session",
                    "Lines of the table logs since start_live_session(), with their judgement",
                    """SELECT ts, level, component, message, is_anomaly AS anomaly, anomaly_reason AS reason FROM logintel.live_logs
                       ORDER BY recorded_at DESC, log_id DESC LIMIT 200""",
                    (12, 9),
                ),
                ts=170,
                level=80,
                component=130,
                anomaly=80,
                reason=190,
            )
        )
        .with_panel(
            worded(
                wide(
                    panel(
                        table.Panel,
                        "Is all well?",
                        "The view status: what to do stands beside what is wrong",
                        "SELECT state, topic, detector, summary, what_to_do FROM logintel.status",
                        (12, 9),
                    ),
                    topic=90,
                    detector=110,
                ),
                "state",
            )
        )
        .with_panel(
            wide(
                panel(
                    table.Panel,
                    "Maintenance",
                    "What became of each step of the worker",
                    """SELECT step, detector, last_run, extract(epoch FROM last_duration) * 1000 AS "last_duration (ms)", last_rows, errors, failures, last_error
                       FROM logintel.worker_stats ORDER BY failures DESC, last_run DESC""",
                    (24, 7),
                ),
                step=110,
                last_run=170,
            )
        )
    )


def history() -> Any:
    """What has happened."""
    incident = (
        dashboard.TextBoxVariable("incident").label("Incident").default_value("")
    )
    # The newest where none is chosen.
    chosen = """CASE WHEN '$incident' <> '' THEN incident_id::text = '$incident'
                ELSE incident_id = (SELECT max(incident_id) FROM logintel.incidents WHERE detector IN ($detector)) END"""
    return (
        base("Historical analysis", HISTORY, ("Live monitoring", LIVE), "now-30d")
        .with_variable(incident)
        .with_panel(
            coloured(
                bars(
                    "Incidents by severity",
                    "By the time at which they began, without suppressed ones",
                    """SELECT $__timeGroupAlias(start_time, $__interval), severity AS metric, count(*) AS incidents FROM logintel.incidents
                       WHERE $__timeFilter(start_time) AND NOT is_suppressed AND detector IN ($detector) GROUP BY 1, 2 ORDER BY 1, 2""",
                    (12, 8),
                )
            )
        )
        .with_panel(
            bars(
                "Anomalies by component",
                "By the time that the lines tell",
                """SELECT $__timeGroupAlias("time", $__interval), coalesce(nullif(component, ''), 'none') AS metric, sum(anomalies) AS anomalies
                   FROM logintel.anomalies_by_hour WHERE $__timeFilter("time") AND detector IN ($detector) GROUP BY 1, 2 ORDER BY 1, 2""",
                (12, 8),
            )
        )
        .with_panel(
            incidents(
                "Incidents",
                "The number leads to the lines, below",
                "$__timeFilter(start_time) ORDER BY start_time DESC LIMIT 500",
                10,
            )
        )
        .with_panel(
            wide(
                panel(
                    table.Panel,
                    "Lines of incident $incident",
                    "Its anomalies, in the order of time; those of the newest incident where none is chosen",
                    f"""SELECT ts, level, component, source, message, reason, anomaly_score AS score FROM logintel.anomalies
                        WHERE {chosen}
                        ORDER BY ts, anomaly_id LIMIT 1000""",
                    (16, 10),
                ),
                ts=170,
                level=80,
                component=130,
                source=110,
                reason=190,
                score=70,
            )
        )
        .with_panel(
            wide(
                panel(
                    table.Panel,
                    "What happened to incident $incident",
                    "Who did what, and when",
                    f"""SELECT at, actor, event, to_status AS status, note FROM logintel.incident_events
                        WHERE {chosen}
                        ORDER BY event_id""",
                    (8, 10),
                ),
                at=170,
            )
        )
        .with_panel(
            panel(
                barchart.Panel,
                "Clusters of ordinary lines",
                "Rows of training in each cluster of the active models, by its most frequent template",
                """SELECT left(template, 60) AS template, rows FROM logintel.cluster_summary_v WHERE detector IN ($detector) ORDER BY rows DESC LIMIT 20""",
                (12, 10),
            )
            .orientation(common_models.VizOrientation.HORIZONTAL)
            .x_field("template")
        )
        .with_panel(
            worded(
                panel(
                    table.Panel,
                    "Components",
                    "All anomalies that are kept",
                    """SELECT component, detector, health, anomalies, anomalies_last_day AS "last day", incidents, open_incidents AS open, "time" AS last
                       FROM logintel.component_health_v WHERE detector IN ($detector) ORDER BY anomalies DESC LIMIT 100""",
                    (12, 10),
                ),
                "health",
            )
        )
        .with_panel(
            wide(
                panel(
                    table.Panel,
                    "Top templates",
                    "Templates of anomalies in the range",
                    """SELECT template, anomalies, reason, incidents, first_time, last_time FROM logintel.top_templates
                       WHERE detector IN ($detector) AND last_time >= $__timeFrom() AND first_time <= $__timeTo() ORDER BY anomalies DESC, template LIMIT 100""",
                    (12, 9),
                ),
                anomalies=90,
                incidents=90,
                reason=150,
                first_time=170,
                last_time=170,
            )
        )
        .with_panel(
            linked(
                wide(
                    panel(
                        table.Panel,
                        "New templates",
                        "What training had not seen when it came",
                        """SELECT "time", detector, component, message, anomalies, incident_id AS incident FROM logintel.new_templates
                           WHERE $__timeFilter("time") AND detector IN ($detector) ORDER BY "time" DESC LIMIT 200""",
                        (12, 9),
                    ),
                    time=170,
                    detector=110,
                    component=110,
                    anomalies=90,
                    incident=90,
                )
            )
        )
        .with_panel(
            panel(
                bargauge.Panel,
                "How strange anomalies are",
                "Number of anomalies by score: 1 is stranger than all ordinary lines",
                """SELECT to_char(floor(least(anomaly_score, 0.999) * 10) / 10, 'FM0.0') || ' to ' || to_char(floor(least(anomaly_score, 0.999) * 10) / 10 + 0.1, 'FM0.0') AS score,
                          count(*) AS anomalies FROM logintel.anomalies WHERE $__timeFilter(ts) AND detector IN ($detector) GROUP BY 1 ORDER BY 1""",
                (8, 8),
            ).reduce_options(common.ReduceDataOptions().values(True).fields(""))
        )
        .with_panel(
            panel(
                timeseries.Panel,
                "Drift",
                "Shares of each hour that the model flags, and that training never saw",
                """SELECT "time", detector || ': flagged' AS metric, flagged_share AS share FROM logintel.drift WHERE $__timeFilter("time") AND detector IN ($detector) AND rows > 0
                   UNION ALL SELECT "time", detector || ': new templates', unseen_template_share FROM logintel.drift WHERE $__timeFilter("time") AND detector IN ($detector) AND rows > 0
                   ORDER BY 1, 2""",
                (8, 8),
                "time_series",
            )
            .unit("percentunit")
            .min(0)
            .max(1)
        )
        .with_panel(
            panel(
                table.Panel,
                "Models",
                "All versions: an older one can be activated again",
                """SELECT detector, version, is_active AS active, trained_at, training_rows AS rows, templates, clusters, threshold, flagged_share AS "flagged of training", kept_aside
                   FROM logintel.models WHERE detector IN ($detector) ORDER BY trained_at DESC LIMIT 100""",
                (8, 8),
            )
        )
    )


def main() -> None:
    """Writes both."""
    folder = Path(sys.argv[1])
    for name, built in (("live", live()), ("history", history())):
        text = JSONEncoder(sort_keys=True, indent=2).encode(built.build())
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


main()
