//! KPI packs: those that come with the program, and folders made like them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use include_dir::{Dir, include_dir};

static CATALOGS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../catalogs");

/// What a pack says of itself; its first line is the title. A folder of
/// `catalogs/` without one is no pack.
const README: &str = "README.md";
/// What the programs of golden numbers share.
const EXACT_ROWS: &str = "exact_rows.py";

/// A catalog with a sample of events and the numbers that it has to give.
pub(crate) struct Pack {
    pub(crate) name: String,
    source: Source,
}

enum Source {
    Program(&'static Dir<'static>),
    Folder(PathBuf),
}

/// The packs of the program, by name.
pub(crate) fn all() -> Vec<Pack> {
    let is_pack = |folder: &&Dir<'static>| folder.get_file(folder.path().join(README)).is_some();
    let pack = |folder: &'static Dir<'static>| Pack {
        name: folder.path().to_string_lossy().into_owned(),
        source: Source::Program(folder),
    };
    let mut packs: Vec<Pack> = CATALOGS.dirs().filter(is_pack).map(pack).collect();
    packs.sort_by(|a, b| a.name.cmp(&b.name));
    packs
}

/// A pack of the program by its name, or a folder.
pub(crate) fn find(name: &str) -> Result<Pack> {
    if let Some(pack) = all().into_iter().find(|pack| pack.name == name) {
        return Ok(pack);
    }
    if Path::new(name).is_dir() {
        return Ok(Pack { name: name.to_owned(), source: Source::Folder(PathBuf::from(name)) });
    }
    let names: Vec<String> = all().into_iter().map(|pack| pack.name).collect();
    bail!("there is no pack and no folder `{name}`; the packs are {}", names.join(", "))
}

impl Pack {
    /// A file's text; `None` if there is none.
    pub(crate) fn text(&self, file: &str) -> Option<String> {
        match &self.source {
            Source::Program(folder) => Some(folder.get_file(folder.path().join(file))?.contents_utf8()?.to_owned()),
            Source::Folder(folder) => std::fs::read_to_string(folder.join(file)).ok(),
        }
    }

    /// The first line of what it says of itself.
    pub(crate) fn title(&self) -> String {
        let text = self.text(README).unwrap_or_default();
        text.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned()
    }

    /// A file that the pack can't be tested without.
    pub(crate) fn needed(&self, file: &str, why: &str) -> Result<String> {
        self.text(file).with_context(|| format!("the pack `{}` has no {file}: {why}", self.name))
    }

    /// Where its files are; those of the program are written to `scratch` first.
    pub(crate) fn folder(&self, scratch: &Path) -> Result<PathBuf> {
        match &self.source {
            Source::Folder(folder) => Ok(std::path::absolute(folder)?),
            Source::Program(_) => {
                self.write(scratch)?;
                Ok(scratch.to_owned())
            }
        }
    }

    /// Writes its files into a folder that has none.
    pub(crate) fn init(&self, folder: &Path) -> Result<()> {
        let is_empty = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
        ensure!(is_empty, "{} is there already and not empty: name another folder", folder.display());
        self.write(folder)
    }

    fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let Source::Program(own) = &self.source else { bail!("`{}` is a folder of yours already", self.name) };
        for file in own.files().chain(CATALOGS.get_file(EXACT_ROWS)) {
            let to = folder.join(file.path().file_name().unwrap_or_default());
            std::fs::write(&to, file.contents()).with_context(|| to.display().to_string())?;
        }
        Ok(())
    }
}
