//! A small disk of a node's own, so that it can be full.
//!
//! As root it is a tmpfs that is filled with a file: the operating system itself says that there is no space left.
//! Otherwise the node is told to say so (`disk-full`, `raft/src/fault.rs`).

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Far more than a node of these tests writes; sled takes its space in large steps.
const SIZE: &str = "size=512m,mode=700";

/// What fills the disk.
const BALLAST: &str = "ballast";

/// Begins the source of every mount of ours, followed by the process that made it.
const SOURCE: &str = "tessera-chaos-";

/// A mounted disk; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts an empty disk, if this process may; `None` if it may not.
    pub fn mount(at: &Path) -> Option<Self> {
        unmount_abandoned();
        let source = format!("{SOURCE}{}", std::process::id());
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, &source])
            .arg(at)
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then(|| Self { at: at.to_owned() })
    }

    /// Takes all space that is left.
    ///
    /// # Errors
    /// If something else than a full disk stops the writing.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.at.join(BALLAST)).context("cannot create the ballast")?;
        // Large pieces first, then what remains.
        for size in [1 << 20, 1 << 12] {
            let block = vec![0x5a; size];
            loop {
                match file.write(&block) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(error) => bail!("cannot fill the disk: {error}"),
                }
            }
        }
        Ok(())
    }

    /// Gives the space back.
    pub fn relieve(&self) {
        let _ = fs::remove_file(self.at.join(BALLAST));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.at);
    }
}

fn unmount(at: &Path) {
    let _ = Command::new("umount").arg("--lazy").arg(at).output();
}

/// Removes the disks of runs that were killed before they could.
fn unmount_abandoned() {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (source, at) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        if let Some(pid) = source.strip_prefix(SOURCE)
            && !Path::new("/proc").join(pid).exists()
        {
            unmount(Path::new(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_disk_takes_nothing_and_a_relieved_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = SmallDisk::mount(folder.path()) else {
            assert!(!folder.path().join(BALLAST).exists());
            return;
        };
        disk.fill().unwrap();
        let path = folder.path().join("more");
        let full = fs::write(&path, [1; 8192]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        disk.relieve();
        fs::write(&path, [1; 8192]).unwrap();
        drop(disk);
        assert!(!path.exists(), "the disk is gone");
    }
}
