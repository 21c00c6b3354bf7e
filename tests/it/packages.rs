//! What is handed out: the Debian package, the service, the image.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

const SEEDRAIL: &str = env!("CARGO_BIN_EXE_seedrail");

fn parts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/package.d")
}

fn text(output: &Output) -> String {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", text(&output));
    text(&output)
}

/// Debian's tool on a system of its own below `root`, by whoever runs this.
fn dpkg(root: &Path) -> Command {
    let folder = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let mut command = Command::new("dpkg");
    command.args([
        folder("root", root),
        folder("admindir", &root.join("admin")),
        folder("log", &root.join("log")),
        "--force-script-chrootless".into(),
        "--force-not-root".into(),
        "--force-depends".into(),
    ]);
    command
}

#[test]
fn the_debian_package_is_installed_and_removed_and_the_home_stays() {
    let temp = TempDir::new().unwrap();
    let root = temp.path().join("root");
    for folder in ["etc", "admin/info", "admin/updates", "admin/triggers"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for file in ["admin/status", "admin/available"] {
        fs::write(root.join(file), "").unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/package");
    let mut build = Command::new(script);
    build.args(["deb", "--binary", SEEDRAIL, "--output"]);
    let output = build.arg(temp.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let package = String::from_utf8(output.stdout).unwrap();
    let package = package.trim();

    succeeds(dpkg(&root).args(["-i", package]));
    let installed = root.join("usr/bin/seedrail");
    let version = succeeds(Command::new(&installed).arg("--version"));
    assert_eq!(
        version.trim(),
        concat!("seedrail ", env!("CARGO_PKG_VERSION"))
    );
    for file in [
        "usr/lib/systemd/system/seedrail.service",
        "usr/share/man/man1/seedrail-get.1.gz",
        "usr/share/bash-completion/completions/seedrail",
        "usr/share/zsh/vendor-completions/_seedrail",
        "usr/share/fish/vendor_completions.d/seedrail.fish",
        "usr/share/doc/seedrail/operating.md",
        "usr/share/doc/seedrail/copyright",
    ] {
        assert!(root.join(file).exists(), "{file}");
    }
    let users = fs::read_to_string(root.join("etc/passwd")).unwrap();
    assert!(users.contains("seedrail:"), "{users}");

    let wallet = root.join("var/lib/seedrail/wallets/main.json");
    fs::create_dir_all(wallet.parent().unwrap()).unwrap();
    fs::write(&wallet, "{}").unwrap();
    succeeds(dpkg(&root).args(["-r", "seedrail"]));
    assert!(!installed.exists());
    let said = succeeds(dpkg(&root).args(["-P", "seedrail"]));
    assert!(said.contains("holds wallets"), "{said}");
    assert!(wallet.exists());
}

/// Each program that the unit starts, with its options, as it would be typed.
fn started(unit: &str) -> Vec<&str> {
    unit.lines()
        .map(|line| line.trim_start_matches(['#', ' ']))
        .filter_map(|line| line.strip_prefix("ExecStart=/usr/bin/seedrail "))
        .collect()
}

#[test]
fn the_unit_is_well_formed_and_starts_what_there_is() {
    let unit = fs::read_to_string(parts().join("seedrail.service")).unwrap();
    let commands = started(&unit);
    assert_eq!(
        commands.len(),
        2,
        "the service, and a drop-in with a passphrase"
    );
    for command in commands {
        succeeds(
            Command::new(SEEDRAIL)
                .args(command.split(' '))
                .arg("--help"),
        );
    }
    let temp = TempDir::new().unwrap();
    let file = temp.path().join("seedrail.service");
    fs::write(&file, unit.replace("/usr/bin/seedrail", SEEDRAIL)).unwrap();
    let said = succeeds(
        Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&file),
    );
    assert!(!said.contains("seedrail"), "{said}");
    // Its threshold is in tenths: 1.5 is what a hardened service has; 9 and more is unsafe.
    let bound = ["security", "--offline=true", "--threshold=20"];
    succeeds(Command::new("systemd-analyze").args(bound).arg(&file));
}

#[test]
fn the_image_and_the_release_name_files_that_there_are() {
    let image = fs::read_to_string(parts().join("Containerfile")).unwrap();
    let instructions = [
        "FROM",
        "COPY",
        "RUN",
        "USER",
        "ENV",
        "VOLUME",
        "WORKDIR",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
    ];
    let mut continued = false;
    for line in image.lines().filter(|line| !line.starts_with('#')) {
        let first = line.split(' ').next().unwrap();
        assert!(continued || instructions.contains(&first), "{line}");
        continued = line.ends_with('\\');
    }
    assert!(
        image.contains("\nUSER seedrail\n"),
        "it does not run as root"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let release = fs::read_to_string(root.join(".github/workflows/release.yml")).unwrap();
    for text in [&image, &release] {
        for word in text.split([' ', '\n', '"']) {
            if word.starts_with("scripts/") {
                assert!(root.join(word).exists(), "{word}");
            }
        }
    }
}
