//! Where the local provider keeps its things: one folder per target, which is there as a whole or not at all.
//!
//! A target's folder `<kind>/<name>` is built as `<kind>/.<name>.new` and renamed; it is removed by renaming it to
//! `<kind>/.<name>.old` and removing that. So what a crash leaves behind has a name that starts with a dot, which no
//! target's name does; whoever next holds the target clears it away, and so does opening the root.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::lock::Lock;
use super::{durable, ownership};
use crate::providers::fault::ErrorContext as _;
use crate::providers::{Owner, ProviderError, ResourceKind, ResourceName};

/// The kinds that have a folder each for their targets.
const KEPT: [ResourceKind; 7] = [
    ResourceKind::Worker,
    ResourceKind::Pages,
    ResourceKind::D1,
    ResourceKind::R2,
    ResourceKind::Kv,
    ResourceKind::Queue,
    ResourceKind::GitRepository,
];

/// The root folder.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    /// How long a call waits for others that hold its target.
    patience: Duration,
}

/// One target's place in it.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    kind: ResourceKind,
    /// The name of the target.
    pub(super) name: ResourceName,
    /// The folder of the target, if it exists.
    pub(super) folder: PathBuf,
    staging: PathBuf,
    trash: PathBuf,
    lock: PathBuf,
    patience: Duration,
}

/// A target's place, while nobody else may make, change or remove it.
#[derive(Debug)]
pub(super) struct Held {
    spot: Spot,
    lock: Lock,
    /// Whose it is to be, if it is made.
    owner: Option<Owner>,
}

impl Place {
    /// Opens `root`, making it if need be, and clears away what crashes have left.
    pub(super) fn open(root: &Path, patience: Duration) -> Result<Self, ProviderError> {
        // Only this user may enter: secrets are kept in here.
        let make = |path: &Path| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .during(|| format!("making {}", path.display()))
        };
        make(root)?;
        let root = root.canonicalize().during(|| format!("finding {}", root.display()))?;
        make(&root.join("locks"))?;
        for kind in KEPT {
            make(&root.join(kind.as_str()))?;
        }
        durable::sync_folder(&root).during(|| format!("writing {}", root.display()))?;
        let place = Self { root, patience };
        for kind in KEPT {
            place.sweep(kind)?;
        }
        Ok(place)
    }

    /// The root folder, absolute.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The place of one target.
    pub(super) fn spot(&self, kind: ResourceKind, name: &ResourceName) -> Spot {
        let folder = self.root.join(kind.as_str());
        // The field's name for a bare repository.
        let suffix = if kind == ResourceKind::GitRepository { ".git" } else { "" };
        Spot {
            kind,
            name: name.clone(),
            staging: folder.join(format!(".{name}.new")),
            trash: folder.join(format!(".{name}.old")),
            folder: folder.join(format!("{name}{suffix}")),
            lock: self.root.join("locks").join(format!("{kind}.{name}")),
            patience: self.patience,
        }
    }

    /// Takes the lock of what is in the root but is no target.
    pub(super) fn lock(&self, what: &str) -> Result<Lock, ProviderError> {
        Lock::take(&self.root.join("locks").join(what), self.patience)
    }

    /// Clears away what crashes have left of targets of `kind`.
    fn sweep(&self, kind: ResourceKind) -> Result<(), ProviderError> {
        for path in durable::entries(&self.root.join(kind.as_str()))? {
            let left =
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix('.'));
            let Some(left) = left else { continue };
            let name = left.strip_suffix(".new").or_else(|| left.strip_suffix(".old"));
            if let Some(name) = name.and_then(|name| ResourceName::parse(name).ok()) {
                let spot = Spot { patience: Duration::ZERO, ..self.spot(kind, &name) };
                match spot.hold() {
                    Ok(_) => tracing::info!(%kind, %name, "cleared away what a crash has left"),
                    // Others are at work on it, or it can wait for whoever next holds the target.
                    Err(error) => tracing::warn!(%kind, %name, %error, "what a crash has left stays for now"),
                }
            }
        }
        Ok(())
    }
}

impl Spot {
    /// Takes the target's lock and clears away what a crash has left of it.
    pub(super) fn hold(&self) -> Result<Held, ProviderError> {
        let lock = Lock::take(&self.lock, self.patience)?;
        for left in [&self.staging, &self.trash] {
            durable::remove_tree_if_any(left).during(|| format!("clearing away {}", left.display()))?;
        }
        Ok(Held { spot: self.clone(), lock, owner: None })
    }

    /// The same for a target that is to be made or changed for `owner`. One that is nobody's is theirs from now on.
    ///
    /// # Errors
    ///
    /// The target belongs to another.
    pub(super) fn hold_for(&self, owner: &Owner) -> Result<Held, ProviderError> {
        let held = self.hold()?;
        if self.exists()? {
            match self.owner()? {
                Some(found) if !found.is(owner) => {
                    return Err(ProviderError::owned_by_another(format_args!("{} {}", self.kind, self.name)));
                }
                _ if ownership::recorded(&self.folder)?.is_none() => ownership::record(&self.folder, owner)?,
                _ => {}
            }
        }
        Ok(Held { owner: Some(owner.clone()), ..held })
    }

    /// Whose the target is, if it exists and is anyone's. Before owners were kept, the name said it.
    pub(super) fn owner(&self) -> Result<Option<Owner>, ProviderError> {
        Ok(ownership::recorded(&self.folder)?.or_else(|| Owner::derived(self.name.as_str())))
    }

    /// Whether the target exists.
    pub(super) fn exists(&self) -> Result<bool, ProviderError> {
        self.folder.try_exists().during(|| format!("looking at {}", self.folder.display()))
    }

    /// The error for a target that should exist.
    pub(super) fn missing(&self) -> ProviderError {
        ProviderError::permanent(format!("{} {} does not exist", self.kind, self.name))
    }
}

impl Held {
    /// The place that is held.
    pub(super) fn spot(&self) -> &Spot {
        &self.spot
    }

    /// Lets a child process hold the target as well; see [`Lock::share`].
    pub(super) fn share(&self) -> io::Result<Stdio> {
        self.lock.share()
    }

    /// Makes the target's folder, unless it exists: `build` fills an empty folder, which then becomes the target's.
    pub(super) fn build(
        &self,
        build: impl FnOnce(&Path) -> Result<(), ProviderError>,
    ) -> Result<(), ProviderError> {
        if self.spot.exists()? {
            return Ok(());
        }
        let Spot { folder, staging, .. } = &self.spot;
        let action = || format!("making {}", folder.display());
        fs::DirBuilder::new().mode(0o700).create(staging).during(action)?;
        // With its name it has its owner: no crash leaves something that is nobody's.
        if let Some(owner) = &self.owner {
            ownership::record(staging, owner)?;
        }
        build(staging)?;
        let publish = || -> io::Result<()> {
            durable::sync_tree(staging)?;
            fs::rename(staging, folder)?;
            folder.parent().map_or(Ok(()), durable::sync_folder)
        };
        publish().during(action)?;
        tracing::info!(kind = %self.spot.kind, name = %self.spot.name, "made");
        Ok(())
    }

    /// Removes the target's folder, if there is one, in one stroke.
    pub(super) fn remove(&self) -> Result<(), ProviderError> {
        if !self.spot.exists()? {
            return Ok(());
        }
        let Spot { folder, trash, .. } = &self.spot;
        let remove = || -> io::Result<()> {
            fs::rename(folder, trash)?;
            folder.parent().map_or(Ok(()), durable::sync_folder)?;
            durable::remove_tree_if_any(trash)
        };
        remove().during(|| format!("removing {}", folder.display()))?;
        tracing::info!(kind = %self.spot.kind, name = %self.spot.name, "removed");
        Ok(())
    }
}

/// The absolute `path` as a `file:` URL.
pub(super) fn file_url(path: &Path) -> Option<String> {
    url::Url::from_file_path(path).ok().map(String::from)
}
