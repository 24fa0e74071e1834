//! Root folder of the local provider, with one folder per target.
//!
//! The folder of a target, `<kind>/<name>`, is built as `<kind>/.<name>.new` and renamed. To remove it, it is renamed
//! to `<kind>/.<name>.old` and then deleted. The remains of a crash therefore have a name that starts with a dot, which
//! no target has. The next process that locks the target removes them, as does opening the root folder.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::lock::Lock;
use super::{durable, ownership};
use crate::providers::error_context::ErrorContext as _;
use crate::providers::{Owner, ProviderError, ResourceKind, ResourceName};

/// Kinds whose targets have a folder.
const FOLDER_KINDS: [ResourceKind; 7] = [
    ResourceKind::Worker,
    ResourceKind::Pages,
    ResourceKind::D1,
    ResourceKind::R2,
    ResourceKind::Kv,
    ResourceKind::Queue,
    ResourceKind::GitRepository,
];

/// Root folder of the provider.
#[derive(Debug)]
pub(super) struct RootDir {
    root: PathBuf,
    /// Time for which a call waits for the lock of its target.
    timeout: Duration,
}

/// Paths of one target in the root folder.
#[derive(Clone, Debug)]
pub(super) struct TargetPaths {
    kind: ResourceKind,
    /// Name of the target.
    pub(super) name: ResourceName,
    /// Folder of the target, if it exists.
    pub(super) folder: PathBuf,
    staging: PathBuf,
    trash: PathBuf,
    lock: PathBuf,
    timeout: Duration,
}

/// Paths of a target, while this task holds its lock.
#[derive(Debug)]
pub(super) struct LockedTarget {
    paths: TargetPaths,
    lock: Lock,
    /// Owner of the target if it is created.
    owner: Option<Owner>,
}

impl RootDir {
    /// Opens `root`, creates it if it does not exist, and removes the remains of crashes.
    pub(super) fn open(root: &Path, timeout: Duration) -> Result<Self, ProviderError> {
        // Only this user may enter the folder, because it contains secrets.
        let create = |path: &Path| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .during(|| format!("creating {}", path.display()))
        };
        create(root)?;
        let root = root.canonicalize().during(|| format!("resolving {}", root.display()))?;
        create(&root.join("locks"))?;
        for kind in FOLDER_KINDS {
            create(&root.join(kind.as_str()))?;
        }
        durable::sync_folder(&root).during(|| format!("writing {}", root.display()))?;
        let root = Self { root, timeout };
        for kind in FOLDER_KINDS {
            root.sweep(kind)?;
        }
        Ok(root)
    }

    /// Returns the absolute path of the root folder.
    pub(super) fn path(&self) -> &Path {
        &self.root
    }

    /// Returns the paths of a target.
    pub(super) fn paths(&self, kind: ResourceKind, name: &ResourceName) -> TargetPaths {
        let folder = self.root.join(kind.as_str());
        // The usual suffix of a bare repository.
        let suffix = if kind == ResourceKind::GitRepository { ".git" } else { "" };
        TargetPaths {
            kind,
            name: name.clone(),
            staging: folder.join(format!(".{name}.new")),
            trash: folder.join(format!(".{name}.old")),
            folder: folder.join(format!("{name}{suffix}")),
            lock: self.root.join("locks").join(format!("{kind}.{name}")),
            timeout: self.timeout,
        }
    }

    /// Acquires the lock of a file in the root folder that is not a target.
    pub(super) fn lock(&self, file: &str) -> Result<Lock, ProviderError> {
        Lock::acquire(&self.root.join("locks").join(file), self.timeout)
    }

    /// Removes the remains of crashes for targets of `kind`.
    fn sweep(&self, kind: ResourceKind) -> Result<(), ProviderError> {
        for path in durable::entries(&self.root.join(kind.as_str()))? {
            let leftover =
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix('.'));
            let Some(leftover) = leftover else { continue };
            let name = leftover.strip_suffix(".new").or_else(|| leftover.strip_suffix(".old"));
            if let Some(name) = name.and_then(|name| ResourceName::parse(name).ok()) {
                let paths = TargetPaths { timeout: Duration::ZERO, ..self.paths(kind, &name) };
                match paths.lock() {
                    Ok(_) => tracing::info!(%kind, %name, "removed the remains of a crash"),
                    // Another process uses the target, or the next one that locks it removes the remains.
                    Err(error) => {
                        tracing::warn!(%kind, %name, %error, "could not remove the remains of a crash yet")
                    }
                }
            }
        }
        Ok(())
    }
}

impl TargetPaths {
    /// Acquires the lock of the target and removes the remains of crashes.
    pub(super) fn lock(&self) -> Result<LockedTarget, ProviderError> {
        let lock = Lock::acquire(&self.lock, self.timeout)?;
        for leftover in [&self.staging, &self.trash] {
            durable::remove_tree_if_any(leftover).during(|| format!("removing {}", leftover.display()))?;
        }
        Ok(LockedTarget { paths: self.clone(), lock, owner: None })
    }

    /// Locks a target to create or change it for `owner`. A target without an owner gets this one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OwnedByAnother`](crate::providers::ErrorKind::OwnedByAnother) if the target has another owner.
    pub(super) fn lock_for(&self, owner: &Owner) -> Result<LockedTarget, ProviderError> {
        let target = self.lock()?;
        if self.exists()? {
            match self.owner()? {
                Some(found) if !found.is(owner) => {
                    return Err(ProviderError::owned_by_another(format_args!("{} {}", self.kind, self.name)));
                }
                _ if ownership::recorded(&self.folder)?.is_none() => ownership::record(&self.folder, owner)?,
                _ => {}
            }
        }
        Ok(LockedTarget { owner: Some(owner.clone()), ..target })
    }

    /// Returns the owner of the target, if it has one. For targets of older versions, the name determines it.
    pub(super) fn owner(&self) -> Result<Option<Owner>, ProviderError> {
        Ok(ownership::recorded(&self.folder)?.or_else(|| Owner::derived(self.name.as_str())))
    }

    /// Returns true if the target exists.
    pub(super) fn exists(&self) -> Result<bool, ProviderError> {
        self.folder.try_exists().during(|| format!("reading {}", self.folder.display()))
    }

    /// Returns the error for a target that does not exist.
    pub(super) fn missing(&self) -> ProviderError {
        ProviderError::permanent(format!("{} {} does not exist", self.kind, self.name))
    }
}

impl LockedTarget {
    /// Returns the paths of the locked target.
    pub(super) fn paths(&self) -> &TargetPaths {
        &self.paths
    }

    /// Makes a child process hold the lock as well; see [`Lock::share`].
    pub(super) fn share(&self) -> io::Result<Stdio> {
        self.lock.share()
    }

    /// Creates the folder of the target unless it exists. `build` fills an empty folder, which is then renamed.
    pub(super) fn build(
        &self,
        build: impl FnOnce(&Path) -> Result<(), ProviderError>,
    ) -> Result<(), ProviderError> {
        if self.paths.exists()? {
            return Ok(());
        }
        let TargetPaths { folder, staging, .. } = &self.paths;
        let action = || format!("creating {}", folder.display());
        fs::DirBuilder::new().mode(0o700).create(staging).during(action)?;
        // Written before the folder gets its name, so that no crash leaves a target without an owner.
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
        tracing::info!(kind = %self.paths.kind, name = %self.paths.name, "created a target");
        Ok(())
    }

    /// Removes the folder of the target atomically, if it exists.
    pub(super) fn remove(&self) -> Result<(), ProviderError> {
        if !self.paths.exists()? {
            return Ok(());
        }
        let TargetPaths { folder, trash, .. } = &self.paths;
        let remove = || -> io::Result<()> {
            fs::rename(folder, trash)?;
            folder.parent().map_or(Ok(()), durable::sync_folder)?;
            durable::remove_tree_if_any(trash)
        };
        remove().during(|| format!("removing {}", folder.display()))?;
        tracing::info!(kind = %self.paths.kind, name = %self.paths.name, "removed a target");
        Ok(())
    }
}

/// Returns the absolute `path` as a `file:` URL.
pub(super) fn file_url(path: &Path) -> Option<String> {
    url::Url::from_file_path(path).ok().map(String::from)
}
