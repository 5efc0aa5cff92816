//! YAML text to a JSON value in which every node knows its line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use saphyr::{LoadableYamlNode, MarkedYaml, Marker, Scalar, YamlData};
use serde_json::{Map, Value};

use crate::nesting::too_deep;
use crate::problems::{Problem, Problems};

/// Nesting beyond this is refused.
const DEPTH_MAX: usize = 64;

/// A parsed document.
pub struct Document {
    file: String,
    value: Value,
    places: BTreeMap<String, (usize, usize)>,
    /// Pointers of unquoted texts that a variable was put into: they may be numbers.
    substituted: BTreeSet<String>,
    /// Numbers and flags as they are written, by pointer: `007` is 7 only where a number is wanted.
    written: BTreeMap<String, String>,
}

/// The text may hold passwords: only the file is shown.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("file", &self.file).finish_non_exhaustive()
    }
}

struct Reader<'a> {
    file: &'a str,
    text: Vec<char>,
    variable: &'a dyn Fn(&str) -> Option<String>,
    places: BTreeMap<String, (usize, usize)>,
    substituted: BTreeSet<String>,
    written: BTreeMap<String, String>,
    problems: Problems,
}

impl Document {
    /// Parses one YAML document. `${NAME}` and `${NAME:-default}` in a text
    /// stand for environment variables.
    ///
    /// # Errors
    /// What is not YAML, not one document, or a variable that is not set.
    pub fn parse(file: &str, text: &str) -> Result<Document, Problems> {
        Document::parse_with(file, text, &|name| std::env::var(name).ok())
    }

    /// As [`Document::parse`], with the environment given.
    ///
    /// # Errors
    /// As for [`Document::parse`].
    pub fn parse_with(file: &str, text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Document, Problems> {
        let mut reader = Reader {
            file,
            text: text.chars().collect(),
            variable,
            places: BTreeMap::new(),
            substituted: BTreeSet::new(),
            written: BTreeMap::new(),
            problems: Problems::new(),
        };
        let nodes = reader.nodes(text);
        let value = match nodes.as_slice() {
            [node] => reader.value(node, String::new()),
            [] => Value::Object(Map::new()),
            _ => {
                reader.problem(nodes[1].span.start, "only one YAML document is read from a file".to_owned());
                Value::Null
            }
        };
        let Reader { places, substituted, written, problems, .. } = reader;
        problems.into_result()?;
        Ok(Document { file: file.to_owned(), value, places, substituted, written })
    }

    /// The file as the user named it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line and column of a JSON pointer, or of its nearest ancestor.
    pub fn position(&self, pointer: &str) -> (usize, usize) {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return *place;
            }
            match pointer.rfind('/') {
                Some(cut) => pointer = &pointer[..cut],
                None => return (1, 1),
            }
        }
    }

    pub(crate) fn whole(&self) -> &Value {
        &self.value
    }

    /// What stands at a JSON pointer, variables put in.
    pub fn value(&self, pointer: &str) -> Option<&Value> {
        self.value.pointer(pointer)
    }

    /// A number or a flag at a JSON pointer as it is written; `None` for anything else.
    pub fn written(&self, pointer: &str) -> Option<&str> {
        self.written.get(pointer).map(String::as_str)
    }

    /// Whether a variable was put into the text at a pointer.
    pub(crate) fn is_substituted(&self, pointer: &str) -> bool {
        self.substituted.contains(pointer)
    }
}

impl Problems {
    /// Adds a problem at a JSON pointer of a document, or at its nearest ancestor there is.
    pub fn at(&mut self, document: &Document, pointer: &str, message: String, hint: Option<String>) {
        let (line, column) = document.position(pointer);
        self.push(Problem { file: document.file().to_owned(), line, column, message, hint });
    }
}

impl Reader<'_> {
    fn problem(&mut self, at: Marker, message: String) {
        let problem =
            Problem { file: self.file.to_owned(), line: at.line(), column: at.col() + 1, message, hint: None };
        self.problems.push(problem);
    }

    fn nodes<'a>(&mut self, text: &'a str) -> Vec<MarkedYaml<'a>> {
        if let Some(at) = too_deep(text, DEPTH_MAX) {
            self.problem(at, format!("nested more than {DEPTH_MAX} deep"));
            return Vec::new();
        }
        MarkedYaml::load_from_str(text).unwrap_or_else(|error| {
            self.problem(*error.marker(), error.info().to_owned());
            Vec::new()
        })
    }

    fn value(&mut self, node: &MarkedYaml<'_>, pointer: String) -> Value {
        let start = node.span.start;
        self.places.entry(pointer.clone()).or_insert((start.line(), start.col() + 1));
        match &node.data {
            YamlData::Value(scalar) => self.scalar(scalar, node, &pointer),
            YamlData::Sequence(items) => {
                let item = |(i, node)| self.value(node, format!("{pointer}/{i}"));
                Value::Array(items.iter().enumerate().map(item).collect())
            }
            YamlData::Mapping(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    let Some(name) = self.key(key) else { continue };
                    let at = format!("{pointer}/{}", escape(&name));
                    self.places.insert(at.clone(), (key.span.start.line(), key.span.start.col() + 1));
                    map.insert(name, self.value(value, at));
                }
                Value::Object(map)
            }
            _ => {
                self.problem(start, "this is not a plain value, list or mapping".to_owned());
                Value::Null
            }
        }
    }

    fn key(&mut self, node: &MarkedYaml<'_>) -> Option<String> {
        match &node.data {
            YamlData::Value(Scalar::String(text)) => Some(text.to_string()),
            YamlData::Value(Scalar::Integer(number)) => Some(number.to_string()),
            YamlData::Value(Scalar::Boolean(flag)) => Some(flag.to_string()),
            _ => {
                self.problem(node.span.start, "a key is text".to_owned());
                None
            }
        }
    }

    fn scalar(&mut self, scalar: &Scalar<'_>, node: &MarkedYaml<'_>, pointer: &str) -> Value {
        if !matches!(scalar, Scalar::String(_) | Scalar::Null) {
            self.written.insert(pointer.to_owned(), self.written_text(node));
        }
        match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(flag) => Value::Bool(*flag),
            Scalar::Integer(number) => Value::from(*number),
            Scalar::FloatingPoint(number) => self.decimal(number.into_inner(), node),
            Scalar::String(text) => {
                let written = self.written_text(node);
                if text.contains("${") && !written.starts_with(['"', '\'']) {
                    self.substituted.insert(pointer.to_owned());
                }
                Value::String(self.substitute(text, node.span.start))
            }
        }
    }

    /// A decimal as it is written, where a float would lose a digit of it.
    fn decimal(&self, number: f64, node: &MarkedYaml<'_>) -> Value {
        let written = self.written_text(node);
        let plain = written.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if plain && number.to_string() != written { Value::String(written) } else { Value::from(number) }
    }

    fn written_text(&self, node: &MarkedYaml<'_>) -> String {
        let range = node.span.start.index()..node.span.end.index();
        self.text.get(range).unwrap_or_default().iter().collect::<String>().trim().to_owned()
    }

    fn substitute(&mut self, text: &str, at: Marker) -> String {
        let (mut out, mut text) = (String::with_capacity(text.len()), text);
        while let Some((before, rest)) = text.split_once("${") {
            out.push_str(before);
            let Some((inside, after)) = rest.split_once('}') else {
                self.problem(at, "`${` has no closing `}`".to_owned());
                text = &text[before.len()..];
                break;
            };
            let (name, default) = inside.split_once(":-").map_or((inside, None), |(n, d)| (n, Some(d)));
            match (self.variable)(name).or(default.map(str::to_owned)) {
                Some(value) => out.push_str(&value),
                None => self.problem(at, format!("the environment variable `{name}` is not set")),
            }
            text = after;
        }
        out + text
    }
}

/// A key as a part of a JSON pointer.
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
