//! A report as text. What comes from events is escaped in each form.

use std::collections::BTreeSet;

use super::{Kpi, Report, Row};

const HEADINGS: [&str; 9] =
    ["group", "value", "95 % interval", "n", "status", "revision", "reason", "computed at", "window"];

const FIGURES: [&str; 14] = [
    "window_start",
    "window_end",
    "value",
    "numerator",
    "denominator",
    "n",
    "n_eff",
    "se",
    "ci_low",
    "ci_high",
    "status",
    "revision",
    "reason",
    "computed_at",
];

/// One JSON object.
pub(crate) fn json(report: &Report) -> serde_json::Result<String> {
    serde_json::to_string_pretty(report)
}

/// One line a row, under a heading; a column for each dimension that a row is grouped by.
pub(crate) fn csv(report: &Report) -> String {
    let rows = || report.kpis.iter().flat_map(|kpi| kpi.rows.iter().map(move |row| (kpi, row)));
    let dimensions: BTreeSet<&str> = rows().flat_map(|(_, row)| row.group.keys().map(String::as_str)).collect();
    let heading = ["kpi", "window_name", "grouping_set"].into_iter().chain(dimensions.iter().copied());
    let heading: Vec<String> = heading.chain(FIGURES).chain(["fingerprint"]).map(str::to_owned).collect();
    let line = |(kpi, row): (&Kpi, &Row)| {
        let mut fields = vec![kpi.name.clone(), row.window_name.clone(), row.grouping_set.clone()];
        fields.extend(dimensions.iter().map(|name| row.group.get(*name).cloned().unwrap_or_default()));
        fields.extend(figures(row));
        fields
    };
    std::iter::once(heading).chain(rows().map(line)).map(|fields| csv_line(&fields)).collect::<Vec<_>>().join("\n")
}

fn figures(row: &Row) -> Vec<String> {
    let float = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    let Row { window_start, window_end, numerator, denominator, status, reason, computed_at, fingerprint, .. } = row;
    let value = row.value.clone().unwrap_or_default();
    let sums = [window_start, window_end, &value, numerator, denominator].map(String::clone);
    let moments = [row.n_eff, row.se, row.ci_low, row.ci_high].map(float);
    let revision = [status.clone(), row.revision.to_string(), reason.clone(), computed_at.clone(), fingerprint.clone()];
    sums.into_iter().chain([row.n.to_string()]).chain(moments).chain(revision).collect()
}

fn csv_line(fields: &[String]) -> String {
    let quoted = |field: &String| match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.clone(),
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",")
}

/// A heading and a table for each KPI.
pub(crate) fn markdown(report: &Report) -> String {
    let escaped = |text: &str| {
        let special = |c: char| if "\\|`*_<>[]#&".contains(c) { format!("\\{c}") } else { c.to_string() };
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().map(special).collect::<String>()
    };
    let mut lines = vec![format!("# KPIs of {}", report.period), String::new()];
    lines.extend(preface(report).iter().map(|line| escaped(line) + "  "));
    for kpi in &report.kpis {
        lines.extend([String::new(), format!("## {}", escaped(&kpi.name)), String::new()]);
        lines.extend([escaped(&about(kpi)), String::new()]);
        lines.push(format!("| {} |", HEADINGS.join(" | ")));
        lines.push(format!("|{}", "---|".repeat(HEADINGS.len())));
        let row = |row: &Row| format!("| {} |", cells(row).map(|cell| escaped(&cell)).join(" | "));
        lines.extend(kpi.rows.iter().map(row));
    }
    lines.join("\n")
}

const STYLE: &str = "body{font:15px/1.5 sans-serif;margin:2rem}table{border-collapse:collapse}\
                     td,th{border:1px solid #bbb;padding:.2rem .6rem;text-align:left}\
                     td:nth-child(8){white-space:nowrap}\
                     @media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}";

/// A page of its own.
pub(crate) fn html(report: &Report) -> String {
    let title = format!("KPIs of {}", escaped_html(&report.period));
    let mut lines = vec![
        "<!doctype html>".to_owned(),
        "<html lang=\"en\">".to_owned(),
        format!("<head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>"),
        format!("<body><h1>{title}</h1>"),
    ];
    lines.extend(preface(report).iter().map(|line| format!("<p>{}</p>", escaped_html(line))));
    for kpi in &report.kpis {
        lines.push(format!("<h2>{}</h2>", escaped_html(&kpi.name)));
        lines.push(format!("<p>{}</p>", escaped_html(&about(kpi))));
        lines.push(format!("<table><thead><tr><th>{}</th></tr></thead><tbody>", HEADINGS.join("</th><th>")));
        let row =
            |row: &Row| format!("<tr><td>{}</td></tr>", cells(row).map(|cell| escaped_html(&cell)).join("</td><td>"));
        lines.extend(kpi.rows.iter().map(row));
        lines.push("</tbody></table>".to_owned());
    }
    lines.push("</body></html>".to_owned());
    lines.join("\n")
}

fn escaped_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What the report is of.
fn preface(report: &Report) -> Vec<String> {
    let mut lines = vec![format!("As published by {}.", report.as_of)];
    let window = |w: &super::Window| format!("Window {}: from {} to {} ({}).", w.name, w.start, w.end, w.zone);
    lines.extend(report.windows.iter().map(window));
    if report.kpis.is_empty() {
        lines.push("No KPI had a row of this period by then.".to_owned());
    }
    lines
}

fn about(kpi: &Kpi) -> String {
    let unit = if kpi.unit.is_empty() { String::new() } else { format!("Unit: {}.", kpi.unit) };
    format!("{} {unit}", kpi.description).trim().to_owned()
}

fn cells(row: &Row) -> [String; 9] {
    let group: Vec<String> = row.group.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let interval = match (row.ci_low, row.ci_high) {
        (Some(low), Some(high)) => format!("{low:.4} to {high:.4}"),
        _ => String::new(),
    };
    [
        if group.is_empty() { "all".to_owned() } else { group.join(", ") },
        row.value.as_deref().map(without_zeros).unwrap_or_default(),
        interval,
        row.n.to_string(),
        row.status.clone(),
        row.revision.to_string(),
        row.reason.clone(),
        row.computed_at.clone(),
        row.window_name.clone(),
    ]
}

/// A decimal without the zeros that say nothing.
fn without_zeros(number: &str) -> String {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => number.to_owned(),
    }
}
