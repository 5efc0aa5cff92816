//! What a receiver is told.

use jiff::Timestamp;
use satisflow_alerts::AlertRow;
use serde_json::{Map, Value, json};

/// A change of an alert as JSON.
pub fn body(row: &AlertRow, external_url: Option<&str>) -> Value {
    let group: Map<String, Value> = row.group.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let [n_eff, se, ci_low, ci_high, statistic, threshold, p, p_max] = row.figures;
    let baseline = row.baseline.map(|level| {
        json!({
            "value": level.value,
            "n": level.n,
            "n_eff": level.size,
            "deviation": level.deviation,
            "dispersion": level.dispersion,
        })
    });
    json!({
        "alert_id": row.id(),
        "type": format!("alert.{}", row.transition.as_str()),
        "alert_sequence": row.sequence,
        "alert_name": row.alert,
        "alert_rule": row.rule,
        "alert_side": row.side,
        "alert_severity": row.severity,
        "kpi": row.kpi,
        "window": row.window,
        "group": group,
        "alert_cause": row.cause.as_str(),
        "alert_opened_end": time(row.opened),
        "window_start": row.window_start.map(time),
        "window_end": time(row.window_end),
        "revision": row.revision,
        "value": row.value_f64(),
        "n": row.n,
        "n_eff": n_eff,
        "se": se,
        "ci_low": ci_low,
        "ci_high": ci_high,
        "alert_statistic": statistic,
        "alert_threshold": threshold,
        "alert_p": p,
        "alert_p_max": p_max,
        "alert_groups": row.groups,
        "baseline": baseline,
        "fingerprint": row.fingerprint,
        "computed_at": time(row.computed_at),
        "link": external_url.map(|url| link(url, row)),
    })
}

fn time(micros: i64) -> Option<String> {
    Timestamp::from_microsecond(micros).ok().map(|time| time.to_string())
}

/// Where the page shows the group.
fn link(url: &str, row: &AlertRow) -> String {
    let group: String = row.group.iter().map(|(_, value)| format!("&group={}", escaped(value))).collect();
    format!("{url}/#/trend?kpi={}&window={}&by={}{group}", escaped(&row.kpi), escaped(&row.window), row.grouping_set())
}

/// Percent-encoded as a part of an address.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let of = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_any_group() {
        assert_eq!(escaped("R&D 研"), "R%26D%20%E7%A0%94");
    }
}
