//! All media objects, and their bytes: kept on disk, or hashed and dropped; knows no HTTP.
//!
//! In a folder each media object is a folder of its own: `media.json`, a file for each piece that
//! arrived (its name tells place and MD5), and, once complete, `file`, the whole. So what is there
//! after a restart is what was acknowledged before it.

mod keep;

use std::{
    collections::HashMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::{
    Storage,
    media::{Media, Piece, Place, Stored, Vendor, Whole},
};
use crate::hashing::Hashing;

/// How many blocks may wait to be hashed and written.
const AHEAD: usize = 2;

/// Writes a file so that it is there whole or not at all.
pub(super) fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
    new.persist(file)?;
    Ok(())
}

/// Takes the folder for this process alone, as long as the file is held. Blocks, but not for long.
pub(super) fn lock(storage: &Storage) -> io::Result<Option<fs::File>> {
    match storage {
        Storage::Discard => Ok(None),
        Storage::Keep(root) => keep::lock(root).map(Some),
    }
}

/// All media objects of one sandbox.
#[derive(Debug)]
pub(super) struct Store {
    root: Option<PathBuf>,
    catalog: Mutex<Catalog>,
    hashing: Hashing,
    /// How many complete files are still put together.
    assembling: watch::Sender<usize>,
}

/// What there is now.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    media: HashMap<String, Media>,
    /// Upload id → media id.
    uploads: HashMap<String, String>,
    next: u64,
}

impl Catalog {
    /// A media object that is not deleted.
    pub(super) fn get(&self, id: &str) -> Option<&Media> {
        self.media.get(id).filter(|media| !media.deleted)
    }

    /// The media object an upload of JW Player's belongs to; one that was replaced by a reupload
    /// belongs to none.
    pub(super) fn by_upload(&self, upload: &str) -> Option<&Media> {
        self.get(self.uploads.get(upload)?)
            .filter(|media| media.upload.as_ref().is_some_and(|now| now.id == upload))
    }

    /// All, deleted ones too, in the order of creation.
    pub(super) fn all(&self) -> Vec<&Media> {
        let mut all: Vec<_> = self.media.values().collect();
        all.sort_unstable_by_key(|media| media.order);
        all
    }

    fn put(&mut self, media: Media) {
        if let Some(upload) = &media.upload {
            self.uploads.insert(upload.id.clone(), media.id.clone());
        }
        self.next = self.next.max(media.order + 1);
        self.media.insert(media.id.clone(), media);
    }
}

impl Store {
    /// Opens the storage and what is in it. Blocks.
    pub(super) fn open(storage: &Storage) -> io::Result<Self> {
        let mut catalog = Catalog::default();
        let root = match storage {
            Storage::Discard => None,
            Storage::Keep(root) => {
                for media in keep::load(root)? {
                    catalog.put(media);
                }
                Some(root.clone())
            }
        };
        Ok(Self {
            root,
            catalog: Mutex::new(catalog),
            hashing: Hashing::default(),
            assembling: watch::Sender::new(0),
        })
    }

    /// The catalog, to look at; never held across an await.
    pub(super) fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a new media object; its place in the order is given here.
    pub(super) fn create(&self, mut media: Media) -> io::Result<Media> {
        let mut catalog = self.catalog();
        media.order = catalog.next;
        if let Some(root) = &self.root {
            fs::create_dir_all(keep::folder(root, &media.id))?;
            keep::save(root, &media)?;
        }
        catalog.put(media.clone());
        Ok(media)
    }

    /// Changes a media object that is there, on disk too.
    pub(super) fn change<T>(
        &self,
        id: &str,
        change: impl FnOnce(&mut Media) -> T,
    ) -> io::Result<Option<T>> {
        let mut catalog = self.catalog();
        let Some(media) = catalog.media.get_mut(id).filter(|media| !media.deleted) else {
            return Ok(None);
        };
        let out = change(media);
        if let Some(root) = &self.root {
            keep::save(root, media)?;
        }
        let media = media.clone();
        catalog.put(media);
        Ok(Some(out))
    }

    /// Drops the pieces and the whole file of a media object, on disk.
    pub(super) fn drop_bytes(&self, id: &str) -> io::Result<()> {
        match &self.root {
            Some(root) => keep::drop_bytes(root, id),
            None => Ok(()),
        }
    }

    /// Opens the way for the bytes of one piece. Its place may be told later.
    pub(super) fn receive(&self) -> io::Result<Sink> {
        let file = match &self.root {
            Some(root) => Some(keep::new_piece(root)?),
            None => None,
        };
        let (blocks, mut incoming) = mpsc::channel::<Bytes>(AHEAD);
        let mut md5 = self.hashing.stream();
        let hashed = tokio::task::spawn_blocking(move || {
            let mut file = file;
            let mut size = 0;
            while let Some(block) = incoming.blocking_recv() {
                size += block.len() as u64;
                if let Some(file) = &mut file {
                    file.write_all(&block)?;
                }
                md5.add(block);
            }
            Ok(Arrived {
                size,
                md5: md5.finish(),
                file: file.map(tempfile::NamedTempFile::into_temp_path),
            })
        });
        Ok(Sink { blocks, hashed })
    }

    /// Keeps a piece that arrived. `allowed` judges before and `then` looks after it under one lock,
    /// so that of two that arrive at once the second meets the first.
    pub(super) fn keep<T, E: From<io::Error>>(
        &self,
        id: &str,
        place: Place,
        arrived: Arrived,
        allowed: impl FnOnce(&Media) -> Result<(), E>,
        then: impl FnOnce(&Media) -> T,
    ) -> Result<Option<T>, E> {
        let mut catalog = self.catalog();
        let Some(media) = catalog.media.get_mut(id).filter(|media| !media.deleted) else {
            return Ok(None);
        };
        allowed(media)?;
        let file = match (&self.root, arrived.file) {
            (Some(root), Some(temp)) => {
                let file = keep::folder(root, id).join(place.file_name(&arrived.md5));
                temp.persist(&file).map_err(|error| error.error)?;
                Some(file)
            }
            _ => None,
        };
        let piece = media
            .pieces
            .entry(place.key())
            .or_insert_with(|| Piece::new(place));
        let before = piece.stored.replace(Stored {
            size: arrived.size,
            md5: arrived.md5,
            file: file.clone(),
        });
        piece.place = place;
        piece.acknowledged += 1;
        if let Some(old) = before.and_then(|stored| stored.file)
            && Some(&old) != file.as_ref()
        {
            fs::remove_file(old)?;
        }
        Ok(Some(then(media)))
    }

    /// Notes that a try to send a piece begins; bytes are counted until the note is dropped. One
    /// that is refused makes no piece, but counts for the piece it tries to send again.
    pub(super) fn attempt(self: &Arc<Self>, id: &str, place: Place, refused: bool) -> Attempt {
        if let Some(media) = self.catalog().media.get_mut(id) {
            if refused {
                media.refused.tries += 1;
            } else {
                media
                    .pieces
                    .entry(place.key())
                    .or_insert_with(|| Piece::new(place));
            }
            if let Some(piece) = media.same_piece(place) {
                piece.tries += 1;
                piece.resent += u64::from(piece.stored.is_some());
            }
        }
        Attempt {
            store: Arc::clone(self),
            id: id.to_owned(),
            place,
            refused,
            bytes: AtomicU64::new(0),
        }
    }

    /// Puts a complete file together, in the background; without a folder there is nothing to do.
    pub(super) fn assemble(self: &Arc<Self>, id: &str) {
        let Some(root) = self.root.clone() else {
            return;
        };
        let Some(media) = self.catalog().get(id).cloned() else {
            return;
        };
        let assembling = self.assembling();
        let store = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.put_together(&root, &media) {
                tracing::debug!(media = media.id, %error, "could not put the file together");
            }
            drop(assembling);
        });
    }

    fn put_together(&self, root: &Path, media: &Media) -> io::Result<()> {
        self.enter(media, keep::assemble(root, media)?)
    }

    /// Notes that the hashes of a complete file are on their way, until the note is dropped.
    pub(super) fn assembling(self: &Arc<Self>) -> Assembling {
        self.assembling.send_modify(|count| *count += 1);
        Assembling(Arc::clone(self))
    }

    /// Enters the hashes of a complete file, unless it is another by now.
    pub(super) fn enter(&self, media: &Media, whole: Whole) -> io::Result<()> {
        let mut catalog = self.catalog();
        let Some(now) = catalog.media.get_mut(&media.id) else {
            return Ok(());
        };
        if now.deleted || now.completed != media.completed {
            return Ok(());
        }
        now.whole = Some(whole);
        for piece in now.pieces.values_mut() {
            if let Some(stored) = &mut piece.stored {
                stored.file = None;
            }
        }
        let Some(root) = &self.root else {
            return Ok(());
        };
        keep::save(root, now)?;
        keep::drop_pieces(root, &media.id)
    }

    /// The files that are complete and have no hashes yet.
    pub(super) fn unassembled(&self) -> Vec<(String, Vendor)> {
        self.catalog()
            .media
            .values()
            .filter(|media| media.completed.is_some() && media.whole.is_none() && !media.deleted)
            .map(|media| (media.id.clone(), media.vendor))
            .collect()
    }

    /// Waits until every complete file is put together.
    pub(super) async fn settled(&self) {
        let mut assembling = self.assembling.subscribe();
        // The sender lives as long as `self`.
        let _ = assembling.wait_for(|count| *count == 0).await;
    }
}

/// The note that the hashes of a complete file are on their way.
#[derive(Debug)]
pub(super) struct Assembling(Arc<Store>);

impl Drop for Assembling {
    fn drop(&mut self) {
        self.0.assembling.send_modify(|count| *count -= 1);
    }
}

/// The way for the bytes of one piece: to a thread that hashes and writes them. Dropped before
/// [`Sink::finish`], nothing of it is left.
#[derive(Debug)]
pub(super) struct Sink {
    blocks: mpsc::Sender<Bytes>,
    hashed: tokio::task::JoinHandle<io::Result<Arrived>>,
}

/// A piece that arrived whole, and has no place yet.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) size: u64,
    pub(super) md5: [u8; 16],
    file: Option<tempfile::TempPath>,
}

impl Sink {
    /// Takes a block. What goes wrong on disk comes out at the end.
    pub(super) async fn write(&self, block: Bytes) {
        drop(self.blocks.send(block).await);
    }

    /// The piece, hashed and written.
    pub(super) async fn finish(self) -> io::Result<Arrived> {
        drop(self.blocks);
        self.hashed.await?
    }
}

/// A try to send a piece, for the report.
#[derive(Debug)]
pub(super) struct Attempt {
    store: Arc<Store>,
    id: String,
    place: Place,
    refused: bool,
    bytes: AtomicU64,
}

impl Attempt {
    pub(super) fn received(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Attempt {
    /// Counts what arrived, however the try ended.
    fn drop(&mut self) {
        let mut catalog = self.store.catalog();
        let Some(media) = catalog.media.get_mut(&self.id) else {
            return;
        };
        let bytes = self.bytes.load(Ordering::Relaxed);
        if self.refused {
            media.refused.bytes += bytes;
        }
        if let Some(piece) = media.same_piece(self.place) {
            piece.received += bytes;
        }
    }
}
