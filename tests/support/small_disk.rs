//! A disk that can be full.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// A small disk, mounted until dropped. Only root can: CI is.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    pub(crate) fn new(mebibytes: u32, owner: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={mebibytes}m,mode=0700,uid={}", id(owner));
        run(
            "mount",
            &["-t", "tmpfs", "-o", &options, "tmpfs", path(folder.path())],
        );
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all of its space, to the last page.
    pub(crate) fn fill(&self) {
        let ballast = fs::File::create(self.0.path().join("ballast")).unwrap();
        let page = [0; 4096];
        while std::io::Write::write_all(&mut &ballast, &page).is_ok() {}
    }

    pub(crate) fn empty(&self) {
        fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The tasks of a session that was dropped end a moment later, and so do their files.
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let umount = Command::new("umount").arg(self.0.path()).output().unwrap();
            if umount.status.success() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        run("umount", &[path(self.0.path())]);
    }
}

fn id(user: &str) -> String {
    let output = Command::new("id").args(["-u", user]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?} (as root?): {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
