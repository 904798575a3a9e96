//! Incidents: anomalies that belong together.
//!
//! | module | question |
//! |---|---|
//! | [`group`] | which anomalies are one incident |
//! | [`count`] | counting an incident: when it is open again, and what is written |
//! | [`describe`] | what an incident says of itself, counted from its anomalies |
//! | [`gather`] | what is read of anomalies for that, each once |
//! | [`growth`] | which need not be counted whole, for they are large and have hardly grown |
//! | [`hiding`] | which rules hide an incident |
//! | [`life`] | open, acknowledged, resolved, and back again |
//! | [`suppress`] | what is judged anew when rules change, and what a rule would have hidden |
//!
//! Who changes a row of `incidents` writes neither its events nor its alerts: triggers do, whoever it is (sql/incident.sql).
mod count;
mod describe;
mod gather;
mod group;
mod growth;
mod hiding;
mod life;
pub mod suppress;

pub use group::group;
pub use life::{end, end_all, owned, resolve_as_normal, resolve_quiet};
