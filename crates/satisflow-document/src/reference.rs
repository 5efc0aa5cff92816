//! The reference of every field of a document, from the schema that it is checked against.

use std::collections::BTreeSet;

use serde_json::Value;

/// Markdown: the head, then a table for each part of the document, under the places where it may be.
pub fn reference(head: &str, schema: &Value) -> String {
    let mut text = head.to_owned() + &table(schema, schema, "Top level");
    let mut found = Vec::new();
    places(schema, schema, "", &mut found);
    for (part, paths) in found {
        let heading: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
        text += &table(schema, &schema["$defs"][&part], &heading.join(", "));
    }
    text
}

fn table(schema: &Value, object: &Value, heading: &str) -> String {
    let Some(properties) = object.get("properties").and_then(Value::as_object) else { return String::new() };
    let mut text = format!("\n## {heading}\n\n| field | type | default | meaning |\n|---|---|---|---|\n");
    for (name, property) in properties {
        let meaning = property.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let (kind, default) = (kind(schema, property), default(object, name, property));
        text += &format!("| `{name}` | {kind} | {default} | {meaning} |\n");
    }
    text
}

/// Definitions in the document's order, each with the paths that lead to it; what is below is told of the first.
fn places(schema: &Value, object: &Value, path: &str, found: &mut Vec<(String, Vec<String>)>) {
    for (name, property) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        for (part, suffix) in parts(schema, property) {
            let place = format!("{below}{suffix}");
            match found.iter_mut().find(|(known, _)| *known == part) {
                Some((_, paths)) if paths.contains(&place) => {}
                Some((_, paths)) => paths.push(place),
                None => {
                    found.push((part.clone(), vec![place.clone()]));
                    places(schema, &schema["$defs"][&part], &place, found);
                }
            }
        }
    }
}

/// The value that a field has when it is left out.
fn default(object: &Value, name: &str, property: &Value) -> String {
    let required = object.get("required").and_then(Value::as_array).into_iter().flatten().any(|one| one == name);
    match property.get("default") {
        _ if required => "required".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => format!("`{value}`"),
        _ => String::new(),
    }
}

/// Definitions that a property refers to, and how the path goes on to them.
fn parts(schema: &Value, property: &Value) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    if let Some(name) = reference_of(property) {
        found.push((name.to_owned(), ""));
        for inner in schema["$defs"][name].get("anyOf").and_then(Value::as_array).into_iter().flatten() {
            found.extend(reference_of(inner).map(|name| (name.to_owned(), "")));
        }
    }
    for inner in property.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        found.extend(parts(schema, inner));
    }
    for (within, suffix) in [("items", "[]"), ("additionalProperties", ".*")] {
        if let Some(inner) = property.get(within) {
            found.extend(parts(schema, inner).into_iter().map(|(name, _)| (name, suffix)));
        }
    }
    found
}

fn reference_of(property: &Value) -> Option<&str> {
    property.get("$ref").and_then(Value::as_str)?.rsplit('/').next()
}

/// A property's type in words.
fn kind(schema: &Value, property: &Value) -> String {
    if let Some(name) = reference_of(property) {
        return kind(schema, &schema["$defs"][name]);
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(all) = property.get(choice).and_then(Value::as_array) {
            let kinds: BTreeSet<String> = all.iter().map(|one| kind(schema, one)).filter(|k| !k.is_empty()).collect();
            return kinds.into_iter().collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(value) = property.get("const").and_then(Value::as_str) {
        return format!("`{value}`");
    }
    if let Some(all) = property.get("enum").and_then(Value::as_array) {
        return all.iter().filter_map(Value::as_str).map(|v| format!("`{v}`")).collect::<Vec<_>>().join(" or ");
    }
    let named = |kind: &str| match kind {
        "string" => "text",
        "integer" => "whole number",
        "number" => "number",
        "boolean" => "true or false",
        "array" => "list",
        "object" => "mapping",
        _ => "",
    };
    match property.get("type") {
        Some(Value::String(one)) => named(one).to_owned(),
        Some(Value::Array(many)) => {
            many.iter().filter_map(Value::as_str).map(named).filter(|k| !k.is_empty()).collect::<Vec<_>>().join(" or ")
        }
        _ => String::new(),
    }
}
