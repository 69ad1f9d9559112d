//! server

pub mod metrics;
