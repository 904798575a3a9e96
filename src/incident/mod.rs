//! Incidents: anomalies that belong together.
//!
//! | module | question |
//! |---|---|
//! | [`group`] | which anomalies are one incident |
//! | [`describe`] | what an incident says of itself, counted from its anomalies |
//! | [`suppress`] | which incidents suppressions hide |
mod describe;
mod group;
pub mod suppress;

pub use group::group;
