//! What is older than it is kept goes.
use crate::detector::Detector;
use crate::incident::end;
use crate::lock::lock_detector;
use crate::security::RunAs;
use crate::spi::{Connection, arg, text_arg};
use crate::views::mark_views_stale;

/// Removes what is older than a detector keeps.
pub fn retire(name: &str) {
    lock_detector(name);
    let Some(detector) = Detector::find(name) else { return };
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    let seconds = detector.options.retention as f64 / 1e6;
    let args = [text_arg(name), arg(seconds)];
    let limit = "now() - make_interval(secs => $2)";
    let anomalies = format!(
        "DELETE FROM logintel.anomalies WHERE anomaly_id IN (SELECT anomaly_id FROM logintel.anomalies \
         WHERE detector = $1 AND recorded_at < {limit} LIMIT 50000)"
    );
    let incidents =
        format!("SELECT incident_id FROM logintel.incidents WHERE detector = $1 AND updated_at < {limit}");
    let incidents = spi.write(&incidents, &args);
    let incidents: Vec<i64> = (0..incidents.len()).map(|row| incidents.must(row, 1)).collect();
    end(&spi, &incidents, "older than it is kept");
    let gone = spi.write(&anomalies, &args).len() + incidents.len() as u64;
    spi.write(&format!("DELETE FROM logintel.alerts WHERE detector = $1 AND created_at < {limit}"), &args);
    spi.write(&format!("DELETE FROM logintel.drift WHERE detector = $1 AND recorded_at < {limit}"), &args);
    if name == "logs" {
        spi.write(
            "DELETE FROM logintel.logs WHERE recorded_at < now() - make_interval(secs => $1)",
            &[arg(seconds)],
        );
    }
    if gone > 0 {
        mark_views_stale(&spi);
    }
}

/// Removes failures after a week.
pub fn retire_failures() {
    let _owner = RunAs::extension_owner();
    Connection::open().write(
        "DELETE FROM logintel.scoring_failures WHERE failure_id IN (SELECT failure_id FROM logintel.scoring_failures \
         WHERE recorded_at < now() - interval '7 days' FOR UPDATE SKIP LOCKED)",
        &[],
    );
}
