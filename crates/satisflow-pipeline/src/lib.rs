//! From records to KPIs: collecting, scoring, replay, audit.
//!
//! - Collecting takes records, decides what each is, and commits rows with
//!   positions. Scoring takes what is committed, version by version, and
//!   commits KPI rows with the version that they reflect.
//! - The scorer's state is a cache of the lake: it is rebuilt at every start.

mod alert_gauges;
mod at_end;
mod audit;
mod backoff;
mod collector;
mod dedup;
mod error;
mod live;
mod metrics;
mod rejects;
mod replay;
mod scorer;
mod service;
mod watermark;

pub use audit::{AlertsReport, Audit, AuditReport, AuditScope, Difference, Ends, SelfAudit, audit_alerts};
pub use error::PipelineError;
pub use live::{Board, BoardRow, KpiGauges, LiveKpis, SharedEngine};
pub use metrics::PipelineMetrics;
pub use rejects::{RejectsCount, RejectsFilter, RejectsReplay};
pub use replay::{Replay, ReplayReport};
pub use service::{Clock, Service, ServiceParts};
