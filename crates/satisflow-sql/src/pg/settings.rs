//! Settings of one connection: what `SET`, `SHOW`, `RESET` and the start of a connection say.
//!
//! A setting is listed if clients use it and the answer is true: its value has the effect
//! that PostgreSQL documents, or there is nothing here that it could have an effect on.
//! Every other one is refused by its name.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use arrow::array::timezone::Tz;

/// As PostgreSQL's version that the protocol and the catalog are those of.
pub(crate) const SERVER_VERSION: &str = concat!("16.6 (Satisflow ", env!("CARGO_PKG_VERSION"), ")");
/// Where the library looks for the timeout of a statement, ms.
const TIMEOUT_KEY: &str = "statement_timeout_ms";
/// Before the name of a setting: what it was before `SET LOCAL`.
const BEFORE: &str = "before:";
/// Name of the session's time zone.
pub(super) const ZONE: &str = "timezone";

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Any text.
    Any,
    /// What it is, and nothing else.
    Fixed,
    /// One of a list.
    Of(&'static [&'static str]),
    /// A whole number, from and to.
    Number(i64, i64),
    /// A time, ms if without unit; 0: the service's own limit.
    Timeout,
    /// A time zone.
    Zone,
    /// A style of dates.
    DateStyle,
    /// Schemas that are there.
    Schemas,
    /// Nothing but UTF-8.
    Encoding,
}

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// Name in lower case, as the values are kept.
    name: &'static str,
    /// Name as PostgreSQL writes it.
    pub(super) shown: &'static str,
    default: &'static str,
    values: Values,
    /// Whether a client is told of a new value.
    pub(super) reported: bool,
}

const fn of(name: &'static str, default: &'static str, values: Values) -> Setting {
    Setting { name, shown: name, default, values, reported: false }
}

const fn reported(name: &'static str, shown: &'static str, default: &'static str, values: Values) -> Setting {
    Setting { name, shown, default, values, reported: true }
}

const ISOLATION: Values = Values::Of(&["read uncommitted", "read committed", "repeatable read", "serializable"]);

const SETTINGS: &[Setting] = &[
    reported("application_name", "application_name", "", Values::Any),
    of("bytea_output", "hex", Values::Of(&["hex", "escape"])),
    reported("client_encoding", "client_encoding", "UTF8", Values::Encoding),
    of("client_min_messages", "notice", Values::Any),
    reported("datestyle", "DateStyle", "ISO, YMD", Values::DateStyle),
    of("default_transaction_isolation", "read committed", ISOLATION),
    of("default_transaction_read_only", "on", Values::Fixed),
    of("extra_float_digits", "1", Values::Number(-15, 3)),
    of("idle_in_transaction_session_timeout", "0", Values::Fixed),
    of("in_hot_standby", "off", Values::Fixed),
    of("integer_datetimes", "on", Values::Fixed),
    reported(
        "intervalstyle",
        "IntervalStyle",
        "postgres",
        Values::Of(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
    ),
    of("is_superuser", "off", Values::Fixed),
    of("jit", "off", Values::Any),
    of("lc_collate", "C", Values::Fixed),
    of("lc_ctype", "C.UTF-8", Values::Fixed),
    of("lc_messages", "C", Values::Fixed),
    of("lc_monetary", "C", Values::Fixed),
    of("lc_numeric", "C", Values::Fixed),
    of("lc_time", "C", Values::Fixed),
    of("lock_timeout", "0", Values::Timeout),
    of("max_identifier_length", "63", Values::Fixed),
    of("max_index_keys", "32", Values::Fixed),
    reported("search_path", "search_path", "public", Values::Schemas),
    of("server_encoding", "UTF8", Values::Fixed),
    of("server_version", SERVER_VERSION, Values::Fixed),
    of("server_version_num", "160006", Values::Fixed),
    of("standard_conforming_strings", "on", Values::Fixed),
    of("statement_timeout", "0", Values::Timeout),
    reported(ZONE, "TimeZone", "UTC", Values::Zone),
    of("transaction_isolation", "read committed", ISOLATION),
    of("transaction_read_only", "on", Values::Fixed),
];

/// Why a setting is refused, with the SQLSTATE.
pub(super) type Refusal = (&'static str, String);

/// The values of one connection, beside what else is kept of it.
pub(crate) type Kept = HashMap<String, String>;

fn setting(name: &str) -> Option<&'static Setting> {
    let name = name.to_ascii_lowercase();
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Whether clients may name it.
pub(crate) fn is_known(name: &str) -> bool {
    setting(name).is_some()
}

fn known(name: &str) -> Result<&'static Setting, Refusal> {
    setting(name).ok_or_else(|| ("42704", format!("unrecognized configuration parameter \"{name}\"")))
}

/// Every setting with its value.
pub(crate) fn all(kept: &Kept) -> impl Iterator<Item = (&'static str, String)> + '_ {
    SETTINGS.iter().map(|setting| (setting.shown, value(kept, setting)))
}

fn value(kept: &Kept, setting: &Setting) -> String {
    kept.get(setting.name).cloned().unwrap_or_else(|| setting.default.to_owned())
}

/// A setting and its value.
///
/// # Errors
/// When there is none of this name.
pub(super) fn show(kept: &Kept, name: &str) -> Result<(&'static Setting, String), Refusal> {
    let setting = known(name)?;
    Ok((setting, value(kept, setting)))
}

/// Changes a setting for the connection; `None` resets it.
///
/// # Errors
/// When there is none of this name, or it can't have this value.
pub(super) fn set(kept: &mut Kept, name: &str, text: Option<&str>) -> Result<&'static Setting, Refusal> {
    let setting = known(name)?;
    let new = text.map(|text| setting.accepted(text)).transpose()?;
    keep(kept, setting, new);
    Ok(setting)
}

/// Changes a setting until the transaction ends.
///
/// # Errors
/// As [`set`].
pub(super) fn set_local(kept: &mut Kept, name: &str, text: Option<&str>) -> Result<&'static Setting, Refusal> {
    let setting = known(name)?;
    let before = value(kept, setting);
    set(kept, name, text)?;
    kept.entry(format!("{BEFORE}{}", setting.name)).or_insert(before);
    Ok(setting)
}

/// The transaction has ended: takes back what `SET LOCAL` has changed, and gives the settings.
pub(super) fn end_transaction(kept: &mut Kept) -> Vec<&'static Setting> {
    let changed: Vec<_> = SETTINGS.iter().filter(|s| kept.contains_key(&format!("{BEFORE}{}", s.name))).collect();
    for setting in &changed {
        let before = kept.remove(&format!("{BEFORE}{}", setting.name));
        keep(kept, setting, before);
    }
    changed
}

/// Resets every setting, and gives those that had changed.
pub(super) fn reset_all(kept: &mut Kept) -> Vec<&'static Setting> {
    let changed: Vec<_> = SETTINGS.iter().filter(|setting| kept.contains_key(setting.name)).collect();
    changed.iter().for_each(|setting| keep(kept, setting, None));
    changed
}

fn keep(kept: &mut Kept, setting: &Setting, new: Option<String>) {
    if setting.name == "statement_timeout" {
        let timeout = new.as_deref().and_then(millis).filter(|timeout| *timeout > 0);
        match timeout {
            Some(timeout) => kept.insert(TIMEOUT_KEY.to_owned(), timeout.to_string()),
            None => kept.remove(TIMEOUT_KEY),
        };
    }
    match new {
        Some(new) => kept.insert(setting.name.to_owned(), new),
        None => kept.remove(setting.name),
    };
}

/// The connection's own limit of a statement; `None`: the service's.
pub(super) fn statement_timeout(kept: &Kept) -> Option<Duration> {
    kept.get(TIMEOUT_KEY).and_then(|text| text.parse().ok()).map(Duration::from_millis)
}

/// The time zone of the connection.
pub(super) fn zone(kept: &Kept) -> &str {
    kept.get(ZONE).map_or("UTC", String::as_str)
}

/// Takes the settings out of what a client has sent at the start; PostgreSQL's `options` too.
///
/// # Errors
/// As [`set`].
pub(super) fn start<'a>(kept: &mut Kept, sent: impl Iterator<Item = (&'a String, &'a String)>) -> Result<(), Refusal> {
    for (name, text) in sent {
        match name.as_str() {
            "user" | "database" => {}
            name if name.starts_with("_pq_.") => {}
            "replication" if !matches!(text.as_str(), "false" | "off" | "no" | "0") => {
                return Err(("0A000", "there is no replication from here".to_owned()));
            }
            "replication" => {}
            "options" => {
                for (name, text) in options(text)? {
                    set(kept, &name, Some(&text))?;
                }
            }
            name => {
                set(kept, name, Some(text))?;
            }
        }
    }
    Ok(())
}

/// `-c name=value -c name=value`, also `--name=value`; a backslash before a space keeps it.
fn options(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let wrong = |word: &str| ("42601", format!("`{word}` in `options`: write -c name=value"));
    let mut words = words(text).into_iter();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let assignment = match word.strip_prefix("--") {
            Some(rest) => rest.replacen('-', "_", rest.split('=').next().unwrap_or_default().matches('-').count()),
            None if word == "-c" => words.next().ok_or_else(|| wrong(&word))?,
            None => word.strip_prefix("-c").ok_or_else(|| wrong(&word))?.to_owned(),
        };
        let (name, value) = assignment.split_once('=').ok_or_else(|| wrong(&assignment))?;
        found.push((name.to_owned(), value.to_owned()));
    }
    Ok(found)
}

fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut escaped) = (Vec::new(), String::new(), false);
    for sign in text.chars() {
        match sign {
            '\\' if !escaped => escaped = true,
            ' ' | '\t' | '\n' if !escaped => words.push(std::mem::take(&mut word)),
            sign => {
                word.push(sign);
                escaped = false;
            }
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

impl Setting {
    fn refused(&self, text: &str, hint: &str) -> Refusal {
        ("22023", format!("invalid value for parameter \"{}\": \"{text}\": {hint}", self.shown))
    }

    /// The value as it is kept.
    fn accepted(&self, text: &str) -> Result<String, Refusal> {
        match self.values {
            Values::Any => Ok(text.to_owned()),
            Values::Fixed if same(text, self.default) => Ok(self.default.to_owned()),
            Values::Fixed => Err((
                "25006",
                format!("parameter \"{}\" can't be changed: it is \"{}\" here", self.shown, self.default),
            )),
            Values::Of(list) => {
                let found = list.iter().find(|one| one.eq_ignore_ascii_case(text));
                found.map(|one| (*one).to_owned()).ok_or_else(|| self.refused(text, &list.join(", ")))
            }
            Values::Number(from, to) => {
                let number = text.parse::<i64>().ok().filter(|number| (from..=to).contains(number));
                number.map(|n| n.to_string()).ok_or_else(|| self.refused(text, &format!("{from} to {to}")))
            }
            Values::Timeout => {
                millis(text).map(|_| text.to_owned()).ok_or_else(|| self.refused(text, "such as 500, 30s, 5min"))
            }
            Values::Zone => zone_named(text).ok_or_else(|| self.refused(text, "such as Europe/Berlin or +08:00")),
            Values::DateStyle => date_style(text).ok_or_else(|| self.refused(text, "such as ISO, YMD")),
            Values::Schemas => schemas(text).ok_or_else(|| self.refused(text, "tables are in the schema public")),
            Values::Encoding => {
                let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
                let is_utf8 = plain.eq_ignore_ascii_case("utf8") || plain.eq_ignore_ascii_case("unicode");
                is_utf8.then(|| "UTF8".to_owned()).ok_or_else(|| self.refused(text, "only UTF8 is spoken here"))
            }
        }
    }
}

fn same(text: &str, value: &str) -> bool {
    let plain = |text: &str| match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => "on".to_owned(),
        "off" | "false" | "no" | "0" => "off".to_owned(),
        other => other.to_owned(),
    };
    plain(text) == plain(value)
}

/// Milliseconds of a time such as `500`, `30s`, `5min`.
fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A zone as it is kept; `default` and `local` are the service's.
fn zone_named(text: &str) -> Option<String> {
    let text = text.trim();
    if ["default", "local", "utc", "gmt", "z"].iter().any(|name| name.eq_ignore_ascii_case(text)) {
        return Some(if text.eq_ignore_ascii_case("gmt") { "GMT".to_owned() } else { "UTC".to_owned() });
    }
    if let Ok(hours) = text.parse::<i32>() {
        let named = format!("{}{:02}:00", if hours < 0 { '-' } else { '+' }, hours.abs());
        return Tz::from_str(&named).is_ok().then_some(named);
    }
    Tz::from_str(text).is_ok().then(|| text.to_owned())
}

fn date_style(text: &str) -> Option<String> {
    const STYLES: &[&str] = &["ISO", "SQL", "Postgres", "German"];
    const ORDERS: &[&str] = &["YMD", "DMY", "MDY"];
    let (mut style, mut order) = ("ISO", "YMD");
    for word in text.split(',').map(str::trim) {
        let of = |list: &'static [&'static str]| list.iter().find(|one| one.eq_ignore_ascii_case(word)).copied();
        match (of(STYLES), of(ORDERS)) {
            (Some(found), _) => style = found,
            (None, Some(found)) => order = found,
            (None, None) if word.eq_ignore_ascii_case("default") => {}
            (None, None) => return None,
        }
    }
    Some(format!("{style}, {order}"))
}

/// Names without a schema are looked for in `public`, so a path has to say so, or be empty.
fn schemas(text: &str) -> Option<String> {
    const THERE: &[&str] = &["public", "pg_catalog", "information_schema", "$user", ""];
    let mut names = text.split(',').map(|name| name.trim().trim_matches(['"', '\'']));
    names.all(|name| THERE.contains(&name)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(name: &str, text: &str) -> Result<String, &'static str> {
        let mut kept = Kept::new();
        set(&mut kept, name, Some(text)).map_err(|refusal| refusal.0)?;
        show(&kept, name).map(|(_, value)| value).map_err(|refusal| refusal.0)
    }

    #[test]
    fn a_setting_is_what_it_was_set_to_or_is_refused() {
        for (name, text, expected) in [
            ("TimeZone", "Europe/Berlin", Ok("Europe/Berlin")),
            ("timezone", "-5", Ok("-05:00")),
            ("timezone", "utc", Ok("UTC")),
            ("timezone", "Mars/Olympus", Err("22023")),
            ("datestyle", "iso, mdy", Ok("ISO, MDY")),
            ("datestyle", "klingon", Err("22023")),
            ("client_encoding", "utf-8", Ok("UTF8")),
            ("client_encoding", "LATIN1", Err("22023")),
            ("extra_float_digits", "3", Ok("3")),
            ("extra_float_digits", "4", Err("22023")),
            ("search_path", "\"$user\", public", Ok("\"$user\", public")),
            ("search_path", "other", Err("22023")),
            ("standard_conforming_strings", "TRUE", Ok("on")),
            ("standard_conforming_strings", "off", Err("25006")),
            ("default_transaction_read_only", "off", Err("25006")),
            ("statement_timeout", "5min", Ok("5min")),
            ("statement_timeout", "soon", Err("22023")),
            ("datafusion.execution.target_partitions", "1", Err("42704")),
            ("work_mem", "1GB", Err("42704")),
        ] {
            assert_eq!(after(name, text), expected.map(str::to_owned), "{name} = {text}");
        }
    }

    #[test]
    fn what_is_local_ends_with_the_transaction() {
        let mut kept = Kept::new();
        set(&mut kept, "statement_timeout", Some("2s")).unwrap();
        set_local(&mut kept, "statement_timeout", Some("1s")).unwrap();
        set_local(&mut kept, "statement_timeout", Some("3s")).unwrap();
        assert_eq!(statement_timeout(&kept), Some(Duration::from_secs(3)));
        assert_eq!(end_transaction(&mut kept).len(), 1);
        assert_eq!(statement_timeout(&kept), Some(Duration::from_secs(2)));
        assert_eq!(end_transaction(&mut kept).len(), 0);
        assert_eq!(reset_all(&mut kept).len(), 1);
        assert_eq!(statement_timeout(&kept), None);
    }

    #[test]
    fn a_connection_starts_with_what_it_was_sent() {
        let started = |name: &str, text: &str| {
            let (mut kept, sent) = (Kept::new(), [(name.to_owned(), text.to_owned())]);
            let started = start(&mut kept, sent.iter().map(|(name, text)| (name, text)));
            started
                .map(|()| kept.into_iter().collect::<std::collections::BTreeMap<_, _>>())
                .map_err(|refusal| refusal.0)
        };
        let is = |all: &[(&str, &str)]| Ok(all.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect());
        assert_eq!(started("user", "ann"), is(&[]));
        assert_eq!(started("TimeZone", "Asia/Shanghai"), is(&[(ZONE, "Asia/Shanghai")]));
        let both = "-c extra_float_digits=2 --application-name=a\\ b";
        assert_eq!(started("options", both), is(&[("extra_float_digits", "2"), ("application_name", "a b")]));
        assert_eq!(started("options", "-d"), Err("42601"));
        assert_eq!(started("replication", "database"), Err("0A000"));
        assert_eq!(started("replication", "off"), is(&[]));
        assert_eq!(started("work_mem", "1GB"), Err("42704"));
    }
}
