//! A full disk, and files that were damaged.

use std::path::{Path, PathBuf};
use std::process::Command;

use satisflow_testkit::wait_for;

use crate::place::{LIMIT, Place, brokers};

/// A small file system, taken away when dropped.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, with the reason printed, where mounting is not permitted.
    fn mount(megabytes: usize) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output().unwrap();
        if mounted.status.success() {
            return Some(SmallDisk { folder });
        }
        eprintln!("SKIPPED: no tmpfs can be mounted here: {}", String::from_utf8_lossy(&mounted.stderr).trim());
        None
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the file system stays mounted");
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost_or_doubled() {
    let Some(disk) = SmallDisk::mount(30) else { return };
    let lake = disk.path().join("lake");
    let place = Place::with_lake(lake.to_str().unwrap(), &[], "full", &brokers(), "time: data");
    let mut generating = place.generate("full", 3000, &["--seed", "31", "--rate", "50"]).unwrap();
    let mut running = place.program.start("run", &["run"]).unwrap();
    place.wait_for_rows(300);
    let filler = disk.path().join("filler");
    // It ends where the disk does.
    let mut file = std::fs::File::create(&filler).unwrap();
    let full = std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(running.wait(LIMIT).unwrap(), 1, "{}", running.log());
    // The Delta library catches a panic of its own on the way: aborting an upload that has failed.
    let log = running.log();
    let told = log.lines().any(|line| line.starts_with("satisflow:") && line.contains("No space left on device"));
    assert!(told, "{log}");
    // A file that is open keeps its place on the disk.
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    let held = place.number("select count(*) from events").unwrap();
    assert!(held < 2500, "the disk was full too late: {held}");
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.check_at_the_end();
}

/// The largest file of a table.
fn largest(folder: &Path) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                files.push((entry.metadata().unwrap().len(), path));
            }
        }
    }
    files.into_iter().max().unwrap().1
}

#[test]
fn a_damaged_file_is_named_and_its_copy_mends_it() {
    let place = Place::new("damaged");
    place.generate_all("damaged", 500, &["--seed", "32", "--clean"]);
    place.run_to_the_end();
    let file = largest(&place.path().join("lake/records"));
    let whole = std::fs::read(&file).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let flipped = {
        let mut bytes = whole.clone();
        // Of more than one column: values that do not compress stand in the file as they are.
        let quarter = bytes.len() / 4;
        bytes[quarter..3 * quarter].iter_mut().for_each(|byte| *byte ^= 0xff);
        bytes
    };
    for (how, bytes) in [("torn", Some(whole[..whole.len() / 2].to_vec())), ("flipped", Some(flipped)), ("gone", None)]
    {
        match bytes {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let everything = "select count(event_id), max(text), count(distinct attributes) from events";
        for arguments in [&["run"][..], &["audit"], &["sql", "--lake", "lake", everything]] {
            let mut running = place.program.start("damaged", arguments).unwrap();
            let code = running.wait(LIMIT).unwrap();
            let log = running.log();
            assert_eq!(code, 1, "{how} {arguments:?}: {log}");
            let told = log.contains(&name) && log.contains("bring each back from a backup");
            assert!(told && !log.contains("panicked"), "{how} {arguments:?}: {log}");
        }
    }
    std::fs::write(&file, whole).unwrap();
    let mended = || place.program.run(&["--log", "error", "audit"]).ok().filter(|done| done.code == 0);
    wait_for("the audit passes again", LIMIT, mended).unwrap();
    place.check_conservation();
    place.check_audit();
}
