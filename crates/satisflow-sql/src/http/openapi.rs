//! What `POST /sql` takes and gives, as an OpenAPI document.

use serde_json::{Value, json};

use super::body::Form;

/// The document, served at `/openapi.json`.
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Satisflow SQL over HTTP",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Read-only SQL over events and KPIs. Without `users` in the configuration everyone on \
                the machine may ask, and needs no authorization.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8080"}],
        "security": [{"token": []}, {"password": []}, {}],
        "paths": {"/sql": {"post": query()}},
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "What `satisflow user token` prints."},
                "password": {"type": "http", "scheme": "basic", "description": "Name and password of a user."},
            },
            "schemas": {"Query": query_schema(), "Error": error_schema()},
        },
    })
}

fn query() -> Value {
    let mut responses = json!({
        "200": {
            "description": "The rows. What is longer than 1 MiB is sent as it comes; if it fails then, the \
                connection is cut.",
            "content": forms(),
        },
    });
    for (status, description) in FAILURES {
        responses[status] = json!({
            "description": description,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        });
    }
    json!({
        "operationId": "query",
        "summary": "Run one query.",
        "requestBody": {
            "required": true,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Query"}},
                "application/sql": {"schema": {"type": "string"}, "example": "select count(*) from events"},
            },
        },
        "responses": responses,
    })
}

/// The forms of a result, by the type that `Accept` names.
fn forms() -> Value {
    let rows = json!({"type": "array", "items": {"type": "object", "additionalProperties": true}});
    let of = |form: Form| match form {
        Form::Json => json!({"schema": rows}),
        Form::Csv => json!({"schema": {"type": "string"}}),
        Form::Arrow | Form::Parquet => json!({"schema": {"type": "string", "format": "binary"}}),
    };
    let all = [Form::Json, Form::Csv, Form::Arrow, Form::Parquet];
    Value::Object(all.into_iter().map(|form| (form.content_type().to_owned(), of(form))).collect())
}

const FAILURES: &[(&str, &str)] = &[
    ("400", "`bad_request`: the body is of another form; `query`: the query does not plan or fails."),
    ("401", "`unauthorized`: there are users, and this is none."),
    ("403", "`refused`: not exactly one query that only reads."),
    ("408", "`timeout`: it ran into `sql.statement_timeout_ms`, or its body did not come within 30 s."),
    ("413", "`too_long`: the statement is too long."),
    ("415", "`unsupported_media_type`: neither application/json nor application/sql."),
    ("422", "`too_many_rows`: more than `http.rows_max`; `out_of_memory`: it got no memory."),
    ("500", "`encoding`: the rows have no such form."),
    ("503", "`unavailable`: there are no threads."),
];

fn query_schema() -> Value {
    json!({
        "type": "object",
        "required": ["query"],
        "additionalProperties": false,
        "properties": {"query": {"type": "string", "description": "One query, at most 1 MiB."}},
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        }},
    })
}
