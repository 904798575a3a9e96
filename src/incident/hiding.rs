//! Which rules hide an incident: those that all of its anomalies are silenced by.
use logintel_core::suppression::{Scratch, Tally};

use super::gather::{FEW, Groups};
use crate::error::OrRaise;
use crate::spi::{Connection, arg};
use crate::suppression::{Anomaly, Suppressions, message_sql, times};

/// The names of the rules that hide an incident, as the active snapshot shows it; `None` where it is shown.
pub fn hidden_by(spi: &Connection, suppressions: &Suppressions, incident: i64) -> Option<String> {
    let rules = &suppressions.rules;
    let mut scratch = Scratch::default();
    let few = spi.read(
        &format!(
            "SELECT ts, component, level, template, {} FROM logintel.anomalies \
             WHERE incident_id = $1 AND weight > 0 ORDER BY ts, anomaly_id LIMIT $2",
            message_sql(rules)
        ),
        &[arg(incident), arg(FEW as i64)],
    );
    for row in 0..few.len() {
        let anomaly = Anomaly::read(&few, row);
        if rules.matching(&anomaly.event(), &mut scratch).or_raise().is_empty() {
            return None;
        }
    }
    tally(spi, suppressions, Groups::Of(&[incident]))
}

/// The same of one group whose first anomalies they match.
pub fn tally(spi: &Connection, suppressions: &Suppressions, group: Groups<'_>) -> Option<String> {
    let rules = &suppressions.rules;
    let (message, mut scratch) = (message_sql(rules), Scratch::default());
    let (anomalies, [first, second]) = group.sql();
    let mut tally = Tally::new(rules);
    let mut may_be = true;
    // Anomalies that no rule can tell apart are matched at once: between two bounds a rule holds all the time or never.
    spi.for_each(
        &format!(
            "SELECT min(ts), component, level, template, {message}, sum(greatest(weight, 1))::bigint, bool_and(weight = 0) \
             FROM {anomalies} GROUP BY component, level, template, {message}, width_bucket(ts, $3)"
        ),
        &[first, second, times(rules.bounds())],
        |rows, row| {
            if may_be {
                let anomaly = Anomaly::read(rows, row);
                let matched = rules.matching(&anomaly.event(), &mut scratch).or_raise();
                may_be = tally.add(matched, rows.must::<i64>(row, 6).unsigned_abs(), rows.must(row, 7));
            }
        },
    );
    let hiding = may_be.then(|| tally.finish()).flatten()?;
    Some(suppressions.names(&hiding))
}
