//! A document against the JSON Schema of the type it is read as.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::document::{Document, escape};
use crate::problems::Problems;

/// A schema with this member says that its values are never shown.
const SECRET: &str = "x-secret";

/// What of a faulty document is taken away before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaveOut {
    /// Fields that the schema does not know.
    UnknownFields,
    /// Those, and fields whose value is of the wrong form.
    WhatDoesNotFit,
}

impl Document {
    /// Reads the document as `T`, adding every structural problem. Unknown
    /// fields are left out, so that what the others mean can be checked too.
    pub fn read<T: DeserializeOwned + JsonSchema>(&self, problems: &mut Problems) -> Option<T> {
        self.read_leaving_out::<T>(LeaveOut::UnknownFields, problems)
    }

    /// As [`Document::read`], but optional fields with a value that does not
    /// fit are left out too: what is read is good for finding more problems,
    /// and for nothing else once there is one.
    pub fn read_what_fits<T: DeserializeOwned + JsonSchema>(&self, problems: &mut Problems) -> Option<T> {
        self.read_leaving_out::<T>(LeaveOut::WhatDoesNotFit, problems)
    }

    fn read_leaving_out<T: DeserializeOwned + JsonSchema>(
        &self,
        leave_out: LeaveOut,
        problems: &mut Problems,
    ) -> Option<T> {
        let mut value = self.whole().clone();
        check::<T>(self, &mut value, leave_out, problems)?;
        match serde_json::from_value(value) {
            Ok(value) => Some(value),
            Err(error) => {
                problems.at(self, "", error.to_string(), None);
                None
            }
        }
    }
}

/// Problems found, and the pointers of what caused them.
struct Findings<'a> {
    document: &'a Document,
    schema: &'a Value,
    problems: &'a mut Problems,
    unknown: Vec<String>,
    unfit: Vec<String>,
}

/// Adds every problem; `None` when the value can't be read in spite of them.
fn check<T: JsonSchema>(
    document: &Document,
    value: &mut Value,
    leave_out: LeaveOut,
    problems: &mut Problems,
) -> Option<()> {
    let mut schema = schemars::schema_for!(T).to_value();
    bounded(&mut schema);
    let validator = match jsonschema::validator_for(&schema) {
        Ok(validator) => validator,
        Err(error) => {
            problems.at(document, "", error.to_string(), None);
            return None;
        }
    };
    numbers_of_variables(document, &validator, value);
    let mut findings = Findings { document, schema: &schema, problems, unknown: Vec::new(), unfit: Vec::new() };
    validator.iter_errors(value).for_each(|error| findings.report(&error));
    let Findings { unknown, unfit, .. } = findings;
    unknown.iter().for_each(|pointer| remove(value, pointer));
    if leave_out == LeaveOut::WhatDoesNotFit {
        unfit.iter().for_each(|pointer| remove(value, pointer));
    }
    validator.is_valid(value).then_some(())
}

/// JSON Schema takes the format of a number for a remark; here it is its largest value.
fn bounded(schema: &mut Value) {
    if schema.get("format").is_some_and(|format| format == "uint32") && schema.get("maximum").is_none() {
        schema["maximum"] = Value::from(u32::MAX);
    }
    match schema {
        Value::Object(map) => map.values_mut().for_each(bounded),
        Value::Array(items) => items.iter_mut().for_each(bounded),
        _ => {}
    }
}

/// Takes a field out of its mapping. An item stays in its list: without it
/// the others would move, and their problems with them.
fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(object) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        object.remove(&key.replace("~1", "/").replace("~0", "~"));
    }
}

/// A variable's text stands for a number, or for true and false, where one is wanted.
fn numbers_of_variables(document: &Document, validator: &Validator, value: &mut Value) {
    let mut wanted = Vec::new();
    for error in validator.iter_errors(value) {
        let at = error.instance_path().to_string();
        if document.is_substituted(&at) {
            wanted.push(at);
        }
    }
    for at in wanted {
        let Some(node) = value.pointer_mut(&at) else { continue };
        let parsed: Option<Value> = node.as_str().and_then(|text| serde_json::from_str(text.trim()).ok());
        if let Some(parsed) = parsed.filter(|parsed| parsed.is_number() || parsed.is_boolean()) {
            *node = parsed;
        }
    }
}

impl Findings<'_> {
    fn problem(&mut self, at: &str, message: String, hint: Option<String>) {
        self.problems.at(self.document, at, message, hint);
    }

    fn unfit(&mut self, at: &str, message: String, hint: Option<String>) {
        self.problem(at, message, hint);
        self.unfit.push(at.to_owned());
    }

    fn report(&mut self, error: &ValidationError<'_>) {
        let at = error.instance_path().to_string();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => self.unknown(&at, unexpected, error),
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                self.problem(&at, format!("the field `{name}` is missing"), Some(format!("add `{name}: ...` here")));
            }
            ValidationErrorKind::Enum { options } => {
                let known = options.as_array().into_iter().flatten().filter_map(Value::as_str);
                self.not_one_of(&at, error, &known.map(str::to_owned).collect::<Vec<_>>());
            }
            ValidationErrorKind::Type { kind } => {
                let message = format!("{} is not {}", shown(self.schema, error), wanted(kind));
                self.unfit(&at, message, way_out(kind).map(str::to_owned));
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.any_of(&at, error, context);
            }
            _ if is_secret(self.schema, error) || error.instance().is_array() || error.instance().is_object() => {
                self.unfit(&at, error.masked_with("***").to_string(), None)
            }
            _ => self.unfit(&at, error.to_string(), None),
        }
    }

    fn not_one_of(&mut self, at: &str, error: &ValidationError<'_>, known: &[String]) {
        let written = shown(self.schema, error);
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let hint = nearest(written.trim_matches('`'), &names).map(|near| format!("did you mean `{near}`?"));
        self.unfit(at, format!("{written} is not one of {}", known.join(", ")), hint);
    }

    fn unknown(&mut self, at: &str, unexpected: &[String], error: &ValidationError<'_>) {
        let known = properties_beside(self.schema, error);
        for name in unexpected {
            let pointer = format!("{at}/{}", escape(name));
            self.problem(&pointer, format!("unknown field `{name}`"), suggestion(name, &known));
            self.unknown.push(pointer);
        }
    }

    /// Of several shapes the nearest one counts: the one with an error deepest in the document.
    fn any_of(&mut self, at: &str, error: &ValidationError<'_>, context: &[Vec<ValidationError<'static>>]) {
        let constants = constants(context);
        if !constants.is_empty() {
            return self.not_one_of(at, error, &constants);
        }
        let not_null = |errors: &&Vec<ValidationError<'static>>| {
            !errors
                .iter()
                .any(|e| e.instance_path().to_string() == at && matches!(e.kind(), ValidationErrorKind::Type { .. }))
        };
        if let Some(errors) = context.iter().find(not_null) {
            return errors.iter().for_each(|inner| self.report(inner));
        }
        let kind = |e: &ValidationError<'_>| match e.kind() {
            ValidationErrorKind::Type { kind } => Some(wanted(kind)).filter(|name| name != "null"),
            _ => None,
        };
        let kinds: Vec<String> = context.iter().flatten().filter_map(kind).collect();
        let message = format!("{} is not {}", shown(self.schema, error), kinds.join(" or "));
        self.unfit(at, message, None);
    }
}

/// The choices, where each shape is one text: variants with a description each.
fn constants(context: &[Vec<ValidationError<'static>>]) -> Vec<String> {
    let constant = |errors: &Vec<ValidationError<'static>>| {
        errors.iter().find_map(|e| match e.kind() {
            ValidationErrorKind::Constant { expected_value } => expected_value.as_str().map(str::to_owned),
            _ => None,
        })
    };
    context.iter().map(constant).collect::<Option<Vec<String>>>().unwrap_or_default()
}

fn wanted(kind: &TypeKind) -> String {
    let name = |text: String| match text.as_str() {
        "string" => "text".to_owned(),
        "array" => "a list".to_owned(),
        "object" => "a mapping".to_owned(),
        "integer" => "a whole number".to_owned(),
        "number" => "a number".to_owned(),
        "boolean" => "true or false".to_owned(),
        _ => text,
    };
    match kind {
        TypeKind::Single(one) => name(one.to_string()),
        TypeKind::Multiple(many) => {
            let names: Vec<String> = many.iter().map(|one| name(one.to_string())).filter(|n| n != "null").collect();
            names.join(" or ")
        }
    }
}

/// How what is wanted is written; `None` where saying what is wanted says it.
fn way_out(kind: &TypeKind) -> Option<&'static str> {
    let names: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(many) => many.iter().map(|one| one.to_string()).filter(|name| name != "null").collect(),
    };
    match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["string"] => Some("put it in quotes"),
        ["array"] => Some("write `[a, b]`, or a line with `- ` for each"),
        ["object"] => Some("write `{ field: value }`, or a line for each field"),
        ["integer"] => Some("such as 1000"),
        ["number"] => Some("such as 0.5"),
        _ => None,
    }
}

/// A scalar in quotes, anything else by its kind.
fn shown(schema: &Value, error: &ValidationError<'_>) -> String {
    const SHOWN_MAX: usize = 60;
    if is_secret(schema, error) {
        return "`***`".to_owned();
    }
    let text = match error.instance().as_ref() {
        // What lies in it is not shown: there may be a secret.
        Value::Array(_) => return "a list".to_owned(),
        Value::Object(_) => return "a mapping".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let short: String = if text.chars().count() <= SHOWN_MAX {
        text
    } else {
        text.chars().take(SHOWN_MAX).chain("...".chars()).collect()
    };
    format!("`{short}`")
}

/// Where in the schema an error was found, references followed.
fn schema_place(error: &ValidationError<'_>) -> String {
    let place = error.absolute_keyword_location().map(|uri| uri.fragment().map(|f| f.as_str().to_owned()));
    place.flatten().unwrap_or_else(|| error.schema_path().to_string())
}

/// Whether the schema says of the value, or of what it lies in, that it is a secret.
fn is_secret(schema: &Value, error: &ValidationError<'_>) -> bool {
    let place = schema_place(error);
    let cuts = place.match_indices('/').map(|(at, _)| &place[..at]);
    cuts.chain([place.as_str()]).any(|at| schema.pointer(at).is_some_and(|node| node.get(SECRET).is_some()))
}

/// The fields that the schema knows where an unknown one was found.
fn properties_beside(schema: &Value, error: &ValidationError<'_>) -> Vec<String> {
    let place = schema_place(error);
    let parent = place.rsplit_once('/').map_or("", |(parent, _)| parent);
    let properties = schema.pointer(parent).and_then(|object| object.get("properties"));
    properties.and_then(Value::as_object).map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

fn suggestion(name: &str, known: &[String]) -> Option<String> {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let near = nearest(name, &known);
    let listed = (!known.is_empty()).then(|| format!("known are {}", known.join(", ")));
    near.map(|near| format!("did you mean `{near}`?")).or(listed)
}

/// The name that was probably meant.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    const SIMILAR: f64 = 0.6;
    let score = |other: &str| strsim::normalized_damerau_levenshtein(name, other);
    let best = known.iter().copied().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) >= SIMILAR).then_some(best)
}
