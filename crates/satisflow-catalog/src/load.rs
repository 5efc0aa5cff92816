//! From a document to a catalog that holds.

use satisflow_document::{Document, Problems};

use crate::macros::ScaleBounds;
use crate::raw::RawCatalog;
use crate::resolved::Catalog;
use crate::{check, evaluate};

impl Catalog {
    /// Reads and checks a catalog; `None` when problems were added.
    pub fn load(document: &Document, scales: &[ScaleBounds], problems: &mut Problems) -> Option<Catalog> {
        let before = problems.len();
        let raw: RawCatalog = document.read(problems)?;
        let mut catalog = check::resolve(document, &raw, scales, problems);
        evaluate::check(document, &raw, &mut catalog, problems);
        (problems.len() == before).then_some(catalog)
    }
}
