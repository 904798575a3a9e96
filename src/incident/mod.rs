//! Incidents: anomalies that belong together.
//!
//! | module | question |
//! |---|---|
//! | [`group`] | which anomalies are one incident |
//! | [`describe`] | what an incident says of itself, counted from its anomalies |
//! | [`life`] | open, acknowledged, resolved, and back again |
//!
//! Who changes a row of `incidents` writes neither its events nor its alerts: triggers do, whoever it is (sql/incident.sql).
mod describe;
mod group;
mod life;

pub use group::group;
pub use life::{end, owned, resolve_as_normal, resolve_quiet};
