//! What programs of others ask of qBittorrent's API, in their order: `fixtures/api/callers`.

use super::{PASSWORD, Reply, Stand};

/// A form with the torrent file, and fields.
fn upload(file: &[u8], fields: &str) -> Vec<u8> {
    let mut form =
        b"--X\r\nContent-Disposition: form-data; name=\"torrents\"; filename=\"a.torrent\"\r\n\
        Content-Type: application/x-bittorrent\r\n\r\n"
            .to_vec();
    form.extend(file);
    for field in fields.split('&') {
        let (name, value) = field.split_once('=').unwrap();
        let part =
            format!("\r\n--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
        form.extend(part.as_bytes());
    }
    form.extend(b"\r\n--X--\r\n");
    form
}

/// Plays the requests of one program.
async fn play(lines: &str) {
    let stand = Stand::start().await;
    let (_, file) = stand.torrent("film.mkv", 50_000);
    let metainfo = crate::swarm::metainfo::Metainfo::from_bytes(&file).unwrap();
    let hash = metainfo.info.hash().to_string();
    let folder = stand.folder.path().join("elsewhere").display().to_string();
    let lines = lines.replace("HASH", &hash).replace("/nowhere", &folder);
    let form = "application/x-www-form-urlencoded";
    let mut cookie = String::new();
    for line in lines.lines().filter(|line| !line.starts_with('#')) {
        let send = |line: String, kind: &'static str, cookie: String, body: Vec<u8>| {
            let stand = &stand;
            async move {
                let headers = [("Content-Type", kind), ("Cookie", cookie.as_str())];
                stand.send(&line, &headers, &body).await
            }
        };
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let (reply, wanted): (Reply, &str) = match words[..] {
            ["login"] => {
                let body = format!("username=admin&password={PASSWORD}").into_bytes();
                let asked = "POST /api/v2/auth/login".to_owned();
                let reply = send(asked, form, String::new(), body).await;
                assert_eq!(reply.text(), "Ok.");
                cookie = reply.cookie().to_owned();
                continue;
            }
            ["stranger", method, path, wanted] => {
                let asked = format!("{method} /api/v2/{path}");
                (send(asked, form, String::new(), Vec::new()).await, wanted)
            }
            ["upload", wanted, fields] => {
                let asked = "POST /api/v2/torrents/add".to_owned();
                let kind = "multipart/form-data; boundary=X";
                let reply = send(asked, kind, cookie.clone(), upload(&file, fields)).await;
                assert_eq!(reply.text(), "Ok.", "{line}");
                (reply, wanted)
            }
            [method, path, wanted, ..] => {
                let asked = format!("{method} /api/v2/{path}");
                let body = words
                    .get(3)
                    .copied()
                    .unwrap_or_default()
                    .as_bytes()
                    .to_vec();
                (send(asked, form, cookie.clone(), body).await, wanted)
            }
            _ => panic!("{line}"),
        };
        assert_eq!(reply.status.to_string(), wanted, "{line}: {}", reply.text());
    }
}

#[tokio::test]
async fn sonarr_finds_what_it_asks_for() {
    play(include_str!("../../../fixtures/api/callers/sonarr.txt")).await;
}

#[tokio::test]
async fn radarr_finds_what_it_asks_for() {
    play(include_str!("../../../fixtures/api/callers/radarr.txt")).await;
}

#[tokio::test]
async fn cross_seed_finds_what_it_asks_for() {
    play(include_str!("../../../fixtures/api/callers/cross-seed.txt")).await;
}

#[tokio::test]
async fn autobrr_finds_what_it_asks_for() {
    play(include_str!("../../../fixtures/api/callers/autobrr.txt")).await;
}
