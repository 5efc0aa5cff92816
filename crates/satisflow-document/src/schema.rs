//! A document against the JSON Schema of the type it is read as.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use schemars::JsonSchema;
use serde_json::Value;

use crate::document::{Document, escape};
use crate::problems::Problems;

/// A schema with this member says that its values are never shown.
const SECRET: &str = "x-secret";

/// Adds every problem; `None` when the value can't be read in spite of them.
pub(crate) fn check<T: JsonSchema>(document: &Document, value: &mut Value, problems: &mut Problems) -> Option<()> {
    let schema = schemars::schema_for!(T).to_value();
    let validator = match jsonschema::validator_for(&schema) {
        Ok(validator) => validator,
        Err(error) => {
            problems.at(document, "", error.to_string(), None);
            return None;
        }
    };
    numbers_of_variables(document, &validator, value);
    let mut readable = true;
    let mut unknown = Vec::new();
    for error in validator.iter_errors(value) {
        report(document, &schema, &error, problems);
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                unknown.extend(unexpected.iter().map(|name| (error.instance_path().to_string(), name.clone())));
            }
            _ => readable = false,
        }
    }
    for (at, name) in unknown {
        if let Some(object) = value.pointer_mut(&at).and_then(Value::as_object_mut) {
            object.remove(&name);
        }
    }
    readable.then_some(())
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

fn report(document: &Document, schema: &Value, error: &ValidationError<'_>, problems: &mut Problems) {
    let at = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = properties_beside(schema, error);
            for name in unexpected {
                let pointer = format!("{at}/{}", escape(name));
                problems.at(document, &pointer, format!("unknown field `{name}`"), suggestion(name, &known));
            }
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            problems.at(document, &at, format!("the field `{name}` is missing"), None);
        }
        ValidationErrorKind::Enum { options } => {
            let known: Vec<String> =
                options.as_array().into_iter().flatten().filter_map(|o| o.as_str().map(str::to_owned)).collect();
            let written = shown(schema, error);
            let hint = suggestion(&written, &known);
            problems.at(document, &at, format!("`{written}` is not one of {}", known.join(", ")), hint);
        }
        ValidationErrorKind::Type { kind } => {
            let message = format!("`{}` is not {}", shown(schema, error), wanted(kind));
            problems.at(document, &at, message, None);
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            any_of(document, schema, &at, error, context, problems);
        }
        _ if is_secret(schema, error) => problems.at(document, &at, error.masked_with("***").to_string(), None),
        _ => problems.at(document, &at, error.to_string(), None),
    }
}

/// Of several shapes the nearest one counts: the one with an error deepest in the document.
fn any_of(
    document: &Document,
    schema: &Value,
    at: &str,
    error: &ValidationError<'_>,
    context: &[Vec<ValidationError<'static>>],
    problems: &mut Problems,
) {
    let not_null = |errors: &&Vec<ValidationError<'static>>| {
        !errors
            .iter()
            .any(|e| e.instance_path().to_string() == at && matches!(e.kind(), ValidationErrorKind::Type { .. }))
    };
    match context.iter().find(not_null) {
        Some(errors) => errors.iter().for_each(|inner| report(document, schema, inner, problems)),
        None => {
            let kinds: Vec<String> = context
                .iter()
                .flatten()
                .filter_map(|e| match e.kind() {
                    ValidationErrorKind::Type { kind } => Some(wanted(kind)).filter(|name| name != "null"),
                    _ => None,
                })
                .collect();
            let message = format!("`{}` is not {}", shown(schema, error), kinds.join(" or "));
            problems.at(document, at, message, None);
        }
    }
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

fn shown(schema: &Value, error: &ValidationError<'_>) -> String {
    const SHOWN_MAX: usize = 60;
    if is_secret(schema, error) {
        return "***".to_owned();
    }
    let value = error.instance();
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= SHOWN_MAX { text } else { text.chars().take(SHOWN_MAX).chain("...".chars()).collect() }
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
