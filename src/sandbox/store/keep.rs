//! The folder things are kept in. All of it blocks.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use crate::sandbox::media::{Media, Piece, Place, Stored, Whole, WholeHash};

const MEDIA: &str = "media.json";
const WHOLE: &str = "file";
const PIECE: &str = "piece-";

/// The folder of one media object.
pub(super) fn folder(root: &Path, id: &str) -> PathBuf {
    root.join("media").join(id)
}

/// Takes the folder, which is made if need be, for this process alone.
pub(super) fn lock(root: &Path) -> io::Result<File> {
    fs::create_dir_all(root)?;
    let lock = File::create(root.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("another sandbox keeps its files in {}", root.display()),
        )),
        Err(fs::TryLockError::Error(error)) => Err(io::Error::new(
            error.kind(),
            format!(
                "{} can't be locked ({error}); the sandbox keeps its files where file locks work",
                root.display()
            ),
        )),
    }
}

/// A file for a piece on its way.
pub(super) fn new_piece(root: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::NamedTempFile::new_in(root.join("incoming"))
}

/// Writes down what is known of a media object. The pieces of an unfinished upload are not written:
/// their files tell.
pub(super) fn save(root: &Path, media: &Media) -> io::Result<()> {
    let mut media = media.clone();
    if media.completed.is_none() {
        media.pieces.clear();
    }
    let json = serde_json::to_vec_pretty(&media)?;
    super::write_whole(&folder(root, &media.id).join(MEDIA), &json)
}

/// All media objects in the folder, which is made if need be.
pub(super) fn load(root: &Path) -> io::Result<Vec<Media>> {
    // What was on its way when the sandbox last ended was not acknowledged.
    match fs::remove_dir_all(root.join("incoming")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(root.join("incoming"))?;
    fs::create_dir_all(root.join("media"))?;
    let mut all = Vec::new();
    for entry in fs::read_dir(root.join("media"))? {
        let folder = entry?.path();
        let json = match fs::read(folder.join(MEDIA)) {
            Ok(json) => json,
            // The sandbox ended between making the folder and writing the file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut media: Media = serde_json::from_slice(&json).map_err(|error| {
            io::Error::other(format!("{}: {error}", folder.join(MEDIA).display()))
        })?;
        if media.whole.is_none() {
            for (place, stored) in pieces(&folder)? {
                let piece = media
                    .pieces
                    .entry(place.key())
                    .or_insert_with(|| Piece::new(place));
                piece.acknowledged = piece.acknowledged.max(1);
                piece.stored = Some(stored);
            }
        }
        all.push(media);
    }
    Ok(all)
}

fn pieces(folder: &Path) -> io::Result<Vec<(Place, Stored)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((place, md5)) = name.to_str().and_then(Place::from_file_name) else {
            continue;
        };
        let stored = Stored {
            size: entry.metadata()?.len(),
            md5,
            file: Some(entry.path()),
        };
        all.push((place, stored));
    }
    Ok(all)
}

/// Removes the pieces of a media object.
pub(super) fn drop_pieces(root: &Path, id: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder(root, id))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PIECE) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes all bytes of a media object.
pub(super) fn drop_bytes(root: &Path, id: &str) -> io::Result<()> {
    drop_pieces(root, id)?;
    match fs::remove_file(folder(root, id).join(WHOLE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts the pieces together, in order, and hashes the whole on the way.
pub(super) fn assemble(root: &Path, media: &Media) -> io::Result<Whole> {
    let folder = folder(root, &media.id);
    let mut whole = tempfile::NamedTempFile::new_in(root.join("incoming"))?;
    let mut hash = WholeHash::default();
    let mut block = vec![0; 256 * 1024];
    for (_, stored) in media.stored() {
        let file = stored
            .file
            .as_deref()
            .ok_or_else(|| io::Error::other("a piece has no file"))?;
        let mut piece = File::open(file)?;
        loop {
            let length = piece.read(&mut block)?;
            if length == 0 {
                break;
            }
            hash.update(&block[..length]);
            whole.write_all(&block[..length])?;
        }
    }
    whole.persist(folder.join(WHOLE))?;
    Ok(hash.finish())
}
