//! Topics, and how their records become events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use satisflow_document::escape;
use satisflow_model::{Binding, BindingSource, Mapping, Scale, Scales, SourceSpec, TimeFormat, fold_label};

use crate::raw::{RawBinding, RawBindingDetail, RawConfig, RawOnIdle, RawSource};
use crate::resolver::{Resolver, millis};

impl Resolver<'_> {
    pub(crate) fn scales(&mut self, raw: &RawConfig) -> Scales {
        let mut scales = Scales::default();
        for (name, scale) in &raw.scales {
            match (scale.min.scaled(4), scale.max.scaled(4)) {
                (Some(min), Some(max)) if min < max => {
                    scales.insert(name.clone(), Scale { min, max, integral: scale.integral });
                }
                _ => self.problem(
                    &format!("/scales/{}", escape(name)),
                    format!("scale `{name}` has no range of at most 4 decimals"),
                    "min is less than max",
                ),
            }
        }
        scales
    }

    pub(crate) fn sources(&mut self, raw: &RawConfig, scales: &Arc<Scales>) -> BTreeMap<String, SourceSpec> {
        let mut sources = BTreeMap::new();
        for (index, source) in raw.sources.iter().enumerate() {
            let spec = SourceSpec {
                name: source.name.clone().unwrap_or_else(|| source.topic.clone()),
                mapping: source.mapping.as_ref().map(|_| self.mapping(index, source)),
                scales: Arc::clone(scales),
            };
            if sources.insert(source.topic.clone(), spec).is_some() {
                let message = format!("topic `{}` is there twice", source.topic);
                self.problem(&format!("/sources/{index}/topic"), message, "one source reads a topic");
            }
        }
        // A list of the wrong form is left out of what is read, and was told of.
        let given = self.document.value("/sources").is_some_and(|value| value.as_array().is_none_or(|l| !l.is_empty()));
        if sources.is_empty() && !given {
            self.problem("/sources", "no source is named".to_owned(), "such as `sources: [{ topic: feedback }]`");
        }
        sources
    }

    fn mapping(&mut self, index: usize, source: &RawSource) -> Mapping {
        let mut fields = BTreeMap::new();
        for (name, binding) in source.mapping.iter().flatten() {
            let at = format!("/sources/{index}/mapping/{}", escape(name));
            self.is_a_field(&at, name);
            let detail = match binding {
                RawBinding::Pointer(pointer) => &RawBindingDetail {
                    pointer: Some(pointer.clone()),
                    constant: None,
                    format: None,
                    zone: None,
                    labels: None,
                },
                RawBinding::Detail(detail) => detail,
            };
            if let Some(binding) = self.binding(&at, detail) {
                fields.insert(name.clone(), binding);
            }
        }
        Mapping { fields }
    }

    fn is_a_field(&mut self, at: &str, name: &str) {
        let known: Vec<&str> =
            satisflow_model::fields().iter().map(|f| f.name).chain(["answers", "attributes"]).collect();
        if !known.contains(&name) {
            let near = satisflow_document::nearest(name, &known);
            let hint =
                near.map_or("docs/events.md lists the fields".to_owned(), |near| format!("did you mean `{near}`?"));
            self.problem(at, format!("an event has no field `{name}`"), &hint);
        }
    }

    fn binding(&mut self, at: &str, raw: &RawBindingDetail) -> Option<Binding> {
        let source = match (&raw.pointer, &raw.constant) {
            (Some(pointer), None) if pointer.starts_with('/') => BindingSource::Pointer(pointer.clone()),
            (None, Some(text)) => BindingSource::Constant(text.clone()),
            // Something is there that is not text, which was told of.
            (None, None) if ["pointer", "const"].iter().any(|n| self.is_given(&format!("{at}/{n}"))) => return None,
            _ => {
                self.problem(at, "a field has either a JSON pointer or a `const`".to_owned(), "such as `/order/id`");
                return None;
            }
        };
        let time = raw.format.as_ref().map(|format| TimeFormat {
            format: format.clone(),
            zone: raw.zone.as_ref().map_or(TimeZone::UTC, |zone| self.zone(&format!("{at}/zone"), zone)),
        });
        if let Some(time) = time.as_ref().filter(|time| !time.is_usable()) {
            let message = format!("no time can be read in the form `{}`", time.format);
            self.problem(&format!("{at}/format"), message, "such as `%Y-%m-%d %H:%M:%S` or `%B %d, %Y`");
        }
        let labels = raw.labels.as_ref().map(|labels| self.labels(at, labels));
        Some(Binding { source, time, labels })
    }

    /// Folded labels to scores of 4 decimals.
    fn labels(&mut self, at: &str, raw: &BTreeMap<String, satisflow_document::Decimal>) -> BTreeMap<String, i64> {
        let mut labels = BTreeMap::new();
        for (label, score) in raw {
            let at = format!("{at}/labels/{}", escape(label));
            let score = score.scaled(4).unwrap_or_else(|| {
                let message = format!("the score of `{label}` is not a number of at most 4 decimals");
                self.problem(&at, message, "such as 3 or 2.5");
                0
            });
            if labels.insert(fold_label(label), score).is_some_and(|other| other != score) {
                let message = format!("`{label}` is compared like another label, which has another score");
                self.problem(&at, message, "full-width forms and Traditional characters are folded: leave one out");
            }
        }
        labels
    }

    fn zone(&mut self, pointer: &str, name: &str) -> TimeZone {
        TimeZoneDatabase::bundled().get(name).unwrap_or_else(|_| {
            self.problem(pointer, format!("zone `{name}` is not in the IANA database"), "such as `Europe/Berlin`");
            TimeZone::UTC
        })
    }
}

pub(crate) fn holds(sources: &[RawSource]) -> BTreeMap<String, Duration> {
    const HOLD_MS_MAX_DEFAULT: u32 = 86_400_000;
    let held = sources.iter().filter(|source| source.on_idle == RawOnIdle::Hold);
    held.map(|source| (source.topic.clone(), millis(source.hold_ms_max, HOLD_MS_MAX_DEFAULT))).collect()
}
