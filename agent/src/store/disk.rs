//! What is done to the disk, in the only order in which a pulled plug does no harm: write beside,
//! sync, rename, sync the directory.

use crate::Trouble;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

/// A file of ours is a few KiB; what is larger is another file.
const FILE_OCTETS_MAX: u64 = 256 * 1024;

/// Who runs us; `None` where the system does not tell.
fn own_uid() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|m| m.uid())
}

/// Makes a directory that only its owner may enter, durably; one that exists has to be such a one.
pub(super) fn private_dir(path: &Path) -> Result<(), Trouble> {
    let missing: Vec<_> = path.ancestors().take_while(|p| !p.exists()).collect();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| Trouble::file("make", path, &e))?;
    missing.into_iter().try_for_each(sync_parent)?;
    is_private(path)
}

/// Checks that nobody but its owner and root can change or read what lies here, and that the owner
/// is us or root.
pub(super) fn is_private(path: &Path) -> Result<(), Trouble> {
    let found = fs::metadata(path).map_err(|e| Trouble::file("read", path, &e))?;
    if found.mode() & 0o077 != 0 {
        return Err(Trouble::Own(format!(
            "`{0}` can be read by others: `chmod go= {0}`, and think of its key as seen",
            path.display()
        )));
    }
    if own_uid().is_some_and(|own| found.uid() != own && found.uid() != 0) {
        return Err(Trouble::Own(format!(
            "`{}` belongs to user {}, who could exchange it: give it to who runs the agent",
            path.display(),
            found.uid()
        )));
    }
    Ok(())
}

/// Whether the system says that there is no such file.
fn is_absent(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn octets(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_OCTETS_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_OCTETS_MAX {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Reads a file; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Trouble> {
    match octets(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) if e.kind() == ErrorKind::FileTooLarge => {
            Err(Trouble::Damaged(format!("`{}` is too large to be what it should", path.display())))
        }
        Err(e) => Err(Trouble::file("read", path, &e)),
    }
}

/// Reads a file that the device can do without: what its disk does not give back is as good as
/// absent. Who only may not read it is told so.
pub(super) fn read_spare(path: &Path) -> Result<Option<Vec<u8>>, Trouble> {
    match octets(path) {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Err(Trouble::file("read", path, &e)),
        read => Ok(read.ok()),
    }
}

/// Writes a file that is not there yet, readable by its owner only, down to the disk.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Trouble> {
    let write = || {
        let mut options = OpenOptions::new();
        // `create_new` and the mode at creation: at no moment is a secret in a file that others may
        // open.
        let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| Trouble::file("write", path, &e))
}

/// Writes a file whole or not at all: a crash leaves the old one or the new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Trouble> {
    let beside = beside(path);
    remove(&beside)?;
    write_new(&beside, bytes)?;
    rename(&beside, path)
}

/// Makes `link` point to `target`, at once.
pub(super) fn point(link: &Path, target: &Path) -> Result<(), Trouble> {
    let beside = beside(link);
    remove(&beside)?;
    symlink(target, &beside).map_err(|e| Trouble::file("make", &beside, &e))?;
    rename(&beside, link)
}

/// Gives a file or a directory its name, durably.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Trouble> {
    fs::rename(from, to).map_err(|e| Trouble::file("write", to, &e))?;
    sync_parent(to)
}

/// Makes the names in a directory durable.
pub(super) fn sync(dir: &Path) -> Result<(), Trouble> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| Trouble::file("sync", dir, &e))
}

/// Makes the name of `path` durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), Trouble> {
    match path.parent() {
        None => Ok(()),
        Some(here) if here.as_os_str().is_empty() => sync(Path::new(".")),
        Some(parent) => sync(parent),
    }
}

/// Takes away a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), Trouble> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Trouble::file("remove", path, &e)),
        _ => Ok(()),
    }
}

/// Takes away a directory with what is in it, if it is there.
pub(super) fn remove_dir(path: &Path) -> Result<(), Trouble> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Trouble::file("remove", path, &e)),
        _ => Ok(()),
    }
}

/// Overwrites a secret before it is taken away. Flash that levels its wear may keep the old cells;
/// this is what a file system can do.
pub(super) fn wipe(path: &Path) -> Result<(), Trouble> {
    let length = match fs::metadata(path) {
        Ok(found) => found.len(),
        Err(e) if is_absent(&e) => return Ok(()),
        Err(e) => return Err(Trouble::file("overwrite", path, &e)),
    };
    let zeros = vec![0; usize::try_from(length.min(FILE_OCTETS_MAX)).unwrap_or_default()];
    let over = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.write_all(&zeros)?;
        file.sync_all()
    };
    over().map_err(|e| Trouble::file("overwrite", path, &e))?;
    remove(path)
}

/// Where the next `path` is written before it has its name.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    PathBuf::from(beside)
}
