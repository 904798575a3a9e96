//! Incidents: anomalies that belong together.
//!
//! | module | question |
//! |---|---|
//! | [`group`] | which anomalies are one incident |
//! | [`describe`] | what an incident says of itself, counted from its anomalies |
//! | [`growth`] | which need not be counted whole, for they are large and have hardly grown |
//! | [`suppress`] | which incidents suppressions hide |
mod describe;
mod group;
mod growth;
pub mod suppress;

pub use group::group;
