//! The nodes that answered, kept for the next start.

use std::{
    fs,
    io::{self, Read, Write},
    net::SocketAddr,
    path::Path,
};

use crate::swarm::extended::{compact_v4, compact_v6, to_compact};

/// Nodes that are kept, and read back.
const MAX_NODES: usize = 300;

/// How many IPv4 nodes, then they, then the IPv6 ones, in the compact forms.
pub(super) fn save(path: &Path, nodes: &[SocketAddr]) -> io::Result<()> {
    let (v4, v6) = to_compact(nodes.get(..MAX_NODES).unwrap_or(nodes));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.as_os_str().to_owned();
    // Several processes may share the folder.
    name.push(format!(".{}", std::process::id()));
    let mut file = fs::File::create(&name)?;
    let count = u16::try_from(v4.len() / 6).unwrap_or(0);
    file.write_all(&count.to_be_bytes())?;
    file.write_all(&v4)?;
    file.write_all(&v6)?;
    drop(file);
    fs::rename(name, path)
}

/// What was kept; nothing if there is none.
pub(super) fn load(path: &Path) -> Vec<SocketAddr> {
    let mut bytes = Vec::new();
    let most = u64::try_from(2 + MAX_NODES * 18).unwrap_or(u64::MAX);
    let read = fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    if read.is_err() {
        return Vec::new();
    }
    let Some((count, rest)) = bytes.split_first_chunk::<2>() else {
        return Vec::new();
    };
    let v4 = usize::from(u16::from_be_bytes(*count)) * 6;
    let Some((v4, v6)) = rest.split_at_checked(v4) else {
        return Vec::new();
    };
    let mut nodes = compact_v4(v4);
    nodes.extend(compact_v6(v6));
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_survive_and_nonsense_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dht/nodes");
        assert_eq!(load(&path), []);
        let nodes = ["1.2.3.4:5", "[2001:db8::1]:6"].map(|node| node.parse().unwrap());
        save(&path, &nodes).unwrap();
        assert_eq!(load(&path), nodes);
        fs::write(&path, [0xff; 100]).unwrap();
        assert_eq!(load(&path), []);
    }
}
