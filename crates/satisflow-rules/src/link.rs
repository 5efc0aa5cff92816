//! Links to the page.

use crate::Settings;
use crate::label::label;

/// A template of the address at which the page shows an alert's group; empty where its address is not known.
pub(crate) fn link(settings: &Settings, kpi: &str, window: &str, dimensions: &[String]) -> String {
    let Some(url) = &settings.external_url else { return String::new() };
    let value = |name: &String| format!("&group={{{{ urlquery $labels.{} }}}}", label(name));
    let group: String = dimensions.iter().map(value).collect();
    let by = dimensions.join(",");
    format!("{}/#/trend?kpi={kpi}&window={window}&by={by}{group}", url.trim_end_matches('/'))
}
