//! Catalogs as they are read, and what their expressions make of events.
#![allow(clippy::unwrap_used, missing_docs)]

mod answers;
mod compared;
mod counted;
mod graphs;
mod indexes;
mod joins;
mod keyed;
mod lasting;
mod scales;
mod support;
mod weighting;
mod weights;
mod windows;

#[test]
fn the_published_reference_is_that_of_the_code() {
    let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = package.join("../../docs/catalog-reference.md");
    let fresh = satisflow_catalog::reference();
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&file, &fresh).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap() == fresh,
        "docs/catalog-reference.md is stale: UPDATE_SCHEMAS=1 writes it anew"
    );
}
