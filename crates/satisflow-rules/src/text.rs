//! YAML as Prometheus reads it. A JSON string is a YAML string.

/// A recording rule: a series that is looked at more than once.
pub(crate) struct Recorded {
    /// As Prometheus names them: what it is grouped by, the metric, what was done.
    pub(crate) record: &'static str,
    pub(crate) expression: String,
}

/// An alerting rule.
pub(crate) struct Rule {
    pub(crate) alert: String,
    pub(crate) expression: String,
    pub(crate) for_secs: u32,
    pub(crate) keep_firing_for_secs: u32,
    pub(crate) severity: String,
    /// More labels: rules of one alert are told apart by them.
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) summary: String,
    pub(crate) description: String,
    /// Where the page shows it; empty where that is not known.
    pub(crate) link: String,
}

/// A text in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

fn block(text: &str, indent: usize) -> String {
    text.lines().map(|line| format!("{:indent$}{line}\n", "")).collect()
}

fn rule(rule: &Rule) -> String {
    let keep = match rule.keep_firing_for_secs {
        0 => String::new(),
        seconds => format!("        keep_firing_for: {seconds}s\n"),
    };
    let more: String =
        rule.labels.iter().map(|(name, value)| format!("          {name}: {}\n", quoted(value))).collect();
    let link = match rule.link.as_str() {
        "" => String::new(),
        link => format!("          link: {}\n", quoted(link)),
    };
    format!(
        "      - alert: {}\n        expr: |\n{}        for: {}s\n{keep}        labels:\n          severity: {}\n{more}        \
         annotations:\n          summary: {}\n          description: {}\n{link}",
        rule.alert,
        block(&rule.expression, 10),
        rule.for_secs,
        quoted(&rule.severity),
        quoted(&rule.summary),
        quoted(&rule.description),
    )
}

fn recorded(recorded: &Recorded) -> String {
    format!("      - record: {}\n        expr: |\n{}", recorded.record, block(&recorded.expression, 10))
}

/// A group of rules, which are evaluated in their order; nothing for none.
pub(crate) fn group(name: &str, records: &[Recorded], rules: &[Rule]) -> String {
    if records.is_empty() && rules.is_empty() {
        return String::new();
    }
    let records: String = records.iter().map(recorded).collect();
    format!("  - name: {name}\n    rules:\n{records}{}", rules.iter().map(rule).collect::<String>())
}
