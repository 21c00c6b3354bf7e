//! The binary on a terminal of its own, for the questions it asks there.

use std::{
    fs::File,
    io::{Read, Write},
    num::NonZero,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use super::home::Home;
use super::waiting::wait_until;

const LIMIT: Duration = Duration::from_secs(60);

/// A run whose standard streams, and whose controlling terminal, are a terminal.
pub(crate) struct Terminal {
    child: Child,
    ours: File,
    written: Arc<Mutex<Vec<u8>>>,
    /// Columns and rows.
    size: (u16, u16),
    reader: Option<JoinHandle<()>>,
    /// How much of the screen was expected already.
    read: usize,
}

impl Terminal {
    pub(crate) fn start(home: &Home, arguments: &[&str]) -> Self {
        Self::start_sized(home, (120, 40), arguments)
    }

    /// Starts it on a terminal of so many columns and rows.
    pub(crate) fn start_sized(home: &Home, size: (u16, u16), arguments: &[&str]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let (ws_col, ws_row) = size;
        let window = Winsize {
            ws_col,
            ws_row,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, window).unwrap();
        let run = home.command();
        // `setsid --ctty` makes its standard input the controlling terminal, which
        // a passphrase is read from.
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .arg(run.get_program())
            .args(arguments)
            .env_clear()
            .envs(
                run.get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TERM", "xterm")
            .stdin(Stdio::from(theirs.try_clone().unwrap()))
            .stdout(Stdio::from(theirs.try_clone().unwrap()))
            .stderr(Stdio::from(theirs));
        let child = command.spawn().unwrap();
        // The command holds our copies of the other end.
        drop(command);
        let ours = File::from(ours);
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut reading, all) = (ours.try_clone().unwrap(), written.clone());
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end is an error: the other side of the terminal is closed.
            while let Ok(count @ 1..) = reading.read(&mut bytes) {
                all.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self {
            child,
            ours,
            written,
            size,
            reader: Some(reader),
            read: 0,
        }
    }

    /// Everything that was written so far.
    pub(crate) fn screen(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// The lines that a person sees now, those that were scrolled away included.
    pub(crate) fn seen(&self) -> Vec<String> {
        lines_of(&self.written.lock().unwrap(), self.size)
    }

    /// Waits until `words` are written after what was expected before.
    pub(crate) fn expect(&mut self, words: &str) {
        let from = self.read;
        let mut end = None;
        let started = std::time::Instant::now();
        while end.is_none() {
            let shown = self.screen();
            end = shown[from..].find(words).map(|at| from + at + words.len());
            assert!(
                started.elapsed() < LIMIT,
                "no `{words}` after {from} in:\n{shown}"
            );
            std::thread::park_timeout(Duration::from_millis(1));
        }
        self.read = end.unwrap();
    }

    /// Types characters, without Enter.
    pub(crate) fn key(&mut self, text: &str) {
        self.ours.write_all(text.as_bytes()).unwrap();
    }

    /// Types a line and Enter.
    pub(crate) fn line(&mut self, text: &str) {
        self.ours.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&mut self) {
        self.ours.write_all(&[3]).unwrap();
    }

    /// Sends the command a signal, as `-TERM`.
    pub(crate) fn signal(&mut self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Whether what is typed is shown.
    pub(crate) fn echoes(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.ours).unwrap().local_modes;
        modes.contains(rustix::termios::LocalModes::ECHO)
    }

    /// As [`end`](Self::end), with the lines that a person sees then.
    pub(crate) fn end_seen(self) -> (i32, Vec<String>) {
        let (written, size) = (self.written.clone(), self.size);
        let (code, _) = self.end();
        let lines = lines_of(&written.lock().unwrap(), size);
        (code, lines)
    }

    /// Waits for the end: the exit status (of a signal, minus its number), and all
    /// that was written.
    pub(crate) fn end(mut self) -> (i32, String) {
        let mut status = None;
        wait_until("the command ends", LIMIT, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let status = status.unwrap();
        // All that it wrote before: the terminal's end comes after it.
        self.reader.take().unwrap().join().unwrap();
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap());
        (code, self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a terminal of that size makes of the bytes.
fn lines_of(written: &[u8], (columns, rows): (u16, u16)) -> Vec<String> {
    let some = |length: u16| NonZero::new(length).unwrap();
    let mut screen = vt100::Parser::new(some(rows), some(columns), 10_000);
    screen.process(written);
    let screen = screen.screen_mut();
    // Page by page from the oldest line on.
    screen.set_scrollback(usize::MAX);
    let hidden = screen.scrollback();
    let mut lines: Vec<String> = Vec::new();
    for offset in (0..=hidden).rev() {
        screen.set_scrollback(offset);
        let mut page = screen.rows(0, columns);
        match offset {
            0 => lines.extend(page),
            _ => lines.extend(page.next()),
        }
    }
    lines
        .iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}
