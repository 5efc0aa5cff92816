//! The page: files that are part of the program, and what browsers may do with them.

use std::hash::{DefaultHasher, Hasher};

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, include_dir};

static PAGE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/page");

/// Nothing from elsewhere, nothing inline, nothing that frames it: a text of an
/// event that found its way into the page could still do nothing.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const GUARDS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // Asked for each time: a newer program brings a newer page.
    (header::CACHE_CONTROL, "no-cache"),
];

pub(crate) async fn index(headers: HeaderMap) -> Response {
    answer("index.html", &headers)
}

pub(crate) async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    answer(&path, &headers)
}

fn answer(path: &str, headers: &HeaderMap) -> Response {
    let Some(file) = PAGE.get_file(path) else {
        return (StatusCode::NOT_FOUND, "the page has no such file\n").into_response();
    };
    let tag = tag(file.contents());
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, GUARDS).into_response();
    }
    (GUARDS, [(header::CONTENT_TYPE, content_type(path)), (header::ETAG, &tag)], file.contents()).into_response()
}

fn tag(contents: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(contents);
    format!("\"{:016x}\"", hasher.finish())
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &'static Dir<'static>) -> Vec<&'static include_dir::File<'static>> {
        let below = folder.dirs().flat_map(files);
        folder.files().chain(below).collect()
    }

    #[test]
    fn every_file_has_a_type_of_its_own_and_is_not_sent_twice() {
        let all = files(&PAGE);
        assert!(all.len() > 10);
        for file in all {
            let path = file.path().to_str().unwrap();
            let first = answer(path, &HeaderMap::new());
            assert_eq!(first.status(), StatusCode::OK, "{path}");
            assert_ne!(first.headers()[header::CONTENT_TYPE], "application/octet-stream", "{path}");
            let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone())]);
            assert_eq!(answer(path, &known).status(), StatusCode::NOT_MODIFIED, "{path}");
        }
        assert_eq!(answer("../Cargo.toml", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn files_stay_small_and_make_no_html_of_texts() {
        for file in files(&PAGE) {
            let (path, text) = (file.path().display(), file.contents_utf8().unwrap());
            assert!(text.lines().count() < 500, "{path} has 500 lines or more");
            for way in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"]
            {
                let allowed = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!allowed.contains(way), "{path} has {way}");
            }
        }
    }
}
