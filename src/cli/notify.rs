//! Tells the service manager how a daemon is (systemd's `sd_notify`): `READY=1`,
//! `WATCHDOG=1`, `STOPPING=1`. Without one, nobody is told.

use std::{io, os::unix::net::UnixDatagram, path::PathBuf, time::Duration};

/// Where messages go, and how often the watchdog wants one.
#[derive(Debug)]
pub(super) struct ServiceManager {
    to: Option<(UnixDatagram, Place)>,
    watchdog: Option<Duration>,
}

#[derive(Debug)]
enum Place {
    Path(PathBuf),
    /// A name that is not in the file system: Linux alone has such.
    #[cfg(target_os = "linux")]
    Abstract(String),
}

impl ServiceManager {
    /// Of the variables `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub(super) fn of_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok();
        Self::new(
            text("NOTIFY_SOCKET"),
            text("WATCHDOG_USEC"),
            text("WATCHDOG_PID"),
        )
    }

    fn new(socket: Option<String>, watchdog: Option<String>, pid: Option<String>) -> Self {
        let place = socket
            .as_deref()
            .and_then(|name| match name.split_at_checked(1)? {
                ("/", _) => Some(Place::Path(name.into())),
                #[cfg(target_os = "linux")]
                ("@", rest) => Some(Place::Abstract(rest.to_owned())),
                _ => None,
            });
        if let (Some(name), None) = (&socket, &place) {
            tracing::warn!(
                name,
                "the socket of the service manager has an unknown form"
            );
        }
        let to = place.and_then(|place| match UnixDatagram::unbound() {
            Ok(socket) => Some((socket, place)),
            Err(error) => {
                tracing::warn!(%error, "the service manager cannot be told anything");
                None
            }
        });
        // That of another process is not ours.
        let ours = pid.is_none_or(|pid| pid == std::process::id().to_string());
        let micros = watchdog.and_then(|text| text.parse::<u64>().ok());
        let micros = micros.filter(|micros| *micros > 0 && ours);
        Self {
            to,
            watchdog: micros.map(Duration::from_micros),
        }
    }

    /// How often it wants to hear: twice in the time that it waits.
    pub(super) fn every(&self) -> Option<Duration> {
        self.watchdog.map(|wait| wait / 2)
    }

    /// Tells it; that it cannot be told is logged.
    pub(super) fn tell(&self, message: &str) {
        if let Some((socket, place)) = &self.to
            && let Err(error) = send(socket, place, message)
        {
            tracing::warn!(%error, message, "the service manager was not told");
        }
    }
}

fn send(socket: &UnixDatagram, place: &Place, message: &str) -> io::Result<()> {
    let sent = match place {
        Place::Path(path) => socket.send_to(message.as_bytes(), path)?,
        #[cfg(target_os = "linux")]
        Place::Abstract(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            socket.send_to_addr(message.as_bytes(), &address)?
        }
    };
    match sent == message.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_and_the_watchdog_is_fed_twice_as_often_as_it_asks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let manager = ServiceManager::new(text(path.to_str().unwrap()), text("3000000"), None);
        assert_eq!(manager.every(), Some(Duration::from_millis(1500)));
        manager.tell("READY=1");
        let mut buffer = [0; 64];
        let length = heard.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
        let none = |watchdog, pid| ServiceManager::new(None, watchdog, pid).every();
        assert_eq!(none(text("0"), None), None);
        assert_eq!(none(text("x"), None), None);
        assert_eq!(none(text("2000000"), text("1")), None);
        let own = Some(std::process::id().to_string());
        assert_eq!(none(text("2000000"), own), Some(Duration::from_secs(1)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_outside_the_file_system_is_reached() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("seedrail-test-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let heard = UnixDatagram::bind_addr(&address).unwrap();
        let manager = ServiceManager::new(Some(format!("@{name}")), None, None);
        manager.tell("STOPPING=1");
        let mut buffer = [0; 64];
        let length = heard.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STOPPING=1");
    }
}
