//! The expressions of bounds.

use crate::label::label;
use crate::text::{Recorded, quoted};
use crate::{Settings, Side, Threshold};

const VALUE: &str = "job:satisflow_kpi_value:max";
const SAMPLES: &str = "job:satisflow_kpi_samples:max";

/// Which rows of a KPI.
pub(crate) struct Place<'a> {
    pub(crate) kpi: &'a str,
    pub(crate) window: &'a str,
    pub(crate) dimensions: &'a [String],
}

impl Threshold {
    pub(crate) fn place(&self) -> Place<'_> {
        Place { kpi: &self.kpi, window: &self.window, dimensions: &self.dimensions }
    }
}

/// Selector of a KPI's final rows.
fn selector(place: &Place<'_>, settings: &Settings) -> String {
    let set = place.dimensions.join(",");
    let labels = [
        ("job", settings.job.as_str()),
        ("kpi", place.kpi),
        ("window", place.window),
        ("grouping_set", set.as_str()),
        ("state", "final"),
    ];
    labels.map(|(name, value)| format!("{name}={}", quoted(value))).join(",")
}

/// A template that asks for another figure of the alert's group.
pub(crate) fn figure(metric: &str, place: &Place<'_>, settings: &Settings) -> String {
    let group: String = place.dimensions.iter().map(|name| format!(",{}=%q", label(name))).collect();
    let values: String = place.dimensions.iter().map(|name| format!(" $labels.{}", label(name))).collect();
    let series = format!("satisflow_kpi_{metric}{{{}{group}}}", selector(place, settings));
    format!("{{{{ with printf `{series}`{values} | query }}}}{{{{ . | first | value | humanize }}}}{{{{ end }}}}")
}

/// Final values and their n, of whichever process publishes them.
pub(crate) fn recorded(settings: &Settings) -> Vec<Recorded> {
    let job = quoted(&settings.job);
    let of = |record, metric: &str| Recorded {
        record,
        expression: format!("max without (instance) ({metric}{{job={job},state=\"final\"}})"),
    };
    vec![of(VALUE, "satisflow_kpi_value"), of(SAMPLES, "satisflow_kpi_samples")]
}

/// A bound with hysteresis, a least n, and a memory for when nobody publishes.
pub(crate) fn threshold(threshold: &Threshold, settings: &Settings) -> String {
    let Threshold { bound, clear, n_min, .. } = threshold;
    let rows = selector(&threshold.place(), settings);
    let compared = match threshold.side {
        Side::Below => "<",
        Side::Above => ">",
    };
    let firing = format!(
        "ALERTS{{alertname={},alertstate=\"firing\",severity={},kpi={},window={},grouping_set={}}}",
        quoted(&threshold.alert()),
        quoted(&threshold.severity),
        quoted(&threshold.kpi),
        quoted(&threshold.window),
        quoted(&threshold.dimensions.join(",")),
    );
    format!(
        "(
  {VALUE}{{{rows}}} {compared} {bound}
  or
  (
    {VALUE}{{{rows}}} {compared} {clear}
    and ignoring (alertname, alertstate, severity) {firing}
  )
)
and
{SAMPLES}{{{rows}}} >= {n_min}
or
{lasting}",
        lasting = as_it_was(&firing, settings),
    )
}

/// What has fired, without the labels that Prometheus gives it, while no process knows better.
pub(crate) fn as_it_was(firing: &str, settings: &Settings) -> String {
    format!(
        "label_replace(label_replace(
  {firing}
  unless on () (satisflow_kpi_complete{{job={job}}} == 1),
  \"alertstate\", \"\", \"\", \"\"), \"alertname\", \"\", \"\", \"\")",
        job = quoted(&settings.job),
    )
}
