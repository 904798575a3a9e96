//! Incidents: anomalies that belong together.
//!
//! | module | question |
//! |---|---|
//! | [`group`] | which anomalies are one incident |
//! | [`describe`] | what an incident says of itself, counted from its anomalies |
mod describe;
mod group;

pub use group::group;
