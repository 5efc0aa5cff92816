//! What every part of a configuration is resolved with: the document, the problems found so far, the folder.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use satisflow_document::{Document, Problems};

use crate::raw::{RawProperty, RawSecretFile};

pub(crate) struct Resolver<'a> {
    pub(crate) document: &'a Document,
    pub(crate) problems: &'a mut Problems,
    pub(crate) folder: PathBuf,
}

impl Resolver<'_> {
    pub(crate) fn problem(&mut self, pointer: &str, message: String, hint: &str) {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.problems.at(self.document, pointer, message, hint);
    }

    pub(crate) fn problem_count(&self) -> usize {
        self.problems.len()
    }

    pub(crate) fn property(&mut self, at: &str, value: &RawProperty) -> String {
        // A password such as 007 is what is written, not the number that YAML makes of it.
        let as_written = |read: String| self.document.written(at).map_or(read, str::to_owned);
        match value {
            RawProperty::Text(text) => text.reveal().to_owned(),
            RawProperty::Number(number) => as_written(number.to_string()),
            RawProperty::Flag(flag) => as_written(flag.to_string()),
            RawProperty::File(RawSecretFile { file }) => {
                let path = self.folder.join(file);
                let read = std::fs::read_to_string(&path).unwrap_or_else(|error| {
                    let message = format!("{}: {error}", path.display());
                    self.problem(at, message, "the file holds the property's value");
                    String::new()
                });
                read.strip_suffix("\r\n").or(read.strip_suffix('\n')).unwrap_or(&read).to_owned()
            }
        }
    }

    /// A path is relative to the configuration file.
    pub(crate) fn place(&self, url: &str) -> String {
        if url.contains("://") { url.to_owned() } else { self.folder.join(url).to_string_lossy().into_owned() }
    }

    pub(crate) fn listen(&mut self, pointer: &str, text: Option<&str>, default: &str) -> SocketAddr {
        text.unwrap_or(default).parse().unwrap_or_else(|_| {
            let message = format!("`{}` is not an address and port", text.unwrap_or_default());
            self.problem(pointer, message, "such as 127.0.0.1:5433");
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    pub(crate) fn is_given(&self, pointer: &str) -> bool {
        self.document.value(pointer).is_some_and(|value| !value.is_null())
    }
}

pub(crate) fn millis(value: Option<u32>, default: u32) -> Duration {
    Duration::from_millis(u64::from(value.unwrap_or(default)))
}

pub(crate) fn seconds(value: Option<u32>, default: u32) -> Duration {
    Duration::from_secs(u64::from(value.unwrap_or(default)))
}

pub(crate) fn size(value: Option<u32>, default: u32) -> usize {
    value.unwrap_or(default) as usize
}
