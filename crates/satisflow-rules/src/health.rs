//! Alerts of the service itself.

use crate::Settings;
use crate::text::{Recorded, Rule, quoted};

const LAG: &str = "topic:satisflow_kafka_lag_records:sum";
const REJECTED: &str = "topic:satisflow_rejected_records:percent15m";

fn rule(alert: &str, expression: String, for_secs: u32, severity: &str, summary: &str, description: &str) -> Rule {
    Rule {
        alert: alert.to_owned(),
        expression,
        for_secs,
        keep_firing_for_secs: 300,
        severity: severity.to_owned(),
        summary: summary.to_owned(),
        description: description.to_owned(),
        labels: Vec::new(),
        link: String::new(),
    }
}

/// What of a topic waits, and what share of it is no event.
pub(crate) fn recorded(settings: &Settings) -> Vec<Recorded> {
    let job = quoted(&settings.job);
    let increase = |more: &str| format!("sum by (topic) (increase(satisflow_records_total{{job={job}{more}}}[15m]))");
    vec![
        Recorded { record: LAG, expression: format!("sum by (topic) (satisflow_kafka_lag_records{{job={job}}})") },
        Recorded {
            record: REJECTED,
            expression: format!("100 * {}\n/ {}", increase(",outcome=\"rejected\""), increase("")),
        },
    ]
}

pub(crate) fn rules(settings: &Settings) -> Vec<Rule> {
    let job = quoted(&settings.job);
    let Settings { stale_after_secs, lag_records_max, reject_percent_max, .. } = settings;
    vec![
        rule(
            "SatisflowDown",
            format!("absent(up{{job={job}}} == 1)"),
            60,
            "page",
            "No process of Satisflow answers Prometheus",
            "KPIs are not computed, and their alerts stay as they were. Look at the service's log.",
        ),
        rule(
            "SatisflowKpisNotPublished",
            format!("absent(satisflow_kpi_complete{{job={job}}} == 1)"),
            300,
            "page",
            "No process publishes KPIs",
            "All stand by, are catching up, or are gone: see /readyz of each, and `takeover_after_ms`.",
        ),
        rule(
            "SatisflowFeedStale",
            format!("time() - max(satisflow_kpi_newest_event_timestamp_seconds{{job={job}}}) > {stale_after_secs}"),
            60,
            "warn",
            "The newest event is {{ $value | humanizeDuration }} old",
            "Producers are silent, or nothing that they send is taken: see satisflow_polled_records_total and the rejects.",
        ),
        rule(
            "SatisflowWindowsHeld",
            format!("time() - max(satisflow_watermark_timestamp_seconds{{job={job}}}) > {stale_after_secs}"),
            60,
            "warn",
            "Windows of the last {{ $value | humanizeDuration }} are not final",
            "A partition lags, or a source is held: see `on_idle` and the lag.",
        ),
        rule(
            "SatisflowLag",
            format!("{LAG} > {lag_records_max}"),
            300,
            "warn",
            "{{ $value | humanize }} records of {{ $labels.topic }} wait in Kafka",
            "The service is too slow or held up: see satisflow_commit_seconds, and add a process to the group.",
        ),
        rule(
            "SatisflowRejects",
            format!("{REJECTED} > {reject_percent_max}"),
            300,
            "warn",
            "{{ $value | humanize }} % of the records of {{ $labels.topic }} are rejected",
            "`satisflow rejects list` says why; correct the producer or the mapping, then `satisflow rejects replay`.",
        ),
        rule(
            "SatisflowAuditDifferences",
            // No process that answers: as it was.
            format!(
                "max(satisflow_audit_differences{{job={job}}}) > 0
or
max(
  ALERTS{{alertname=\"SatisflowAuditDifferences\",alertstate=\"firing\"}}
  unless on () (up{{job={job}}} == 1))"
            ),
            0,
            "page",
            "Published KPI rows differ from the lake's events",
            "`satisflow audit` names the rows. The numbers can't be trusted until it is known why.",
        ),
    ]
}
