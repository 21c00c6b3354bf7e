//! What a command writes: results on stdout, everything else on stderr.

use std::{
    io::{self, IsTerminal, Write},
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use indicatif::ProgressBar;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    failure::{Exit, Failure, Outcome},
    printable,
    signals::is_interrupted,
    terminal,
};

/// Where a command's words go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// One JSON document (or JSON Lines) instead of text.
    pub(crate) json: bool,
    /// No notes on stderr.
    pub(crate) quiet: bool,
}

impl Output {
    /// The result: the text, or with `--json` the document.
    pub(crate) fn result(self, document: &Value, text: impl FnOnce() -> String) -> Outcome {
        if self.json {
            write_document(document)
        } else {
            write_text(&text())
        }
    }

    /// The result, when it is a document for people too: over several lines.
    pub(crate) fn document(self, document: &Value) -> Outcome {
        if self.json {
            return write_document(document);
        }
        write(format!("{}\n", printable::json(&format!("{document:#}"))).as_bytes())
    }

    /// One line of JSON Lines; nothing without `--json`.
    pub(crate) fn event(self, document: &Value) -> Outcome {
        if self.json {
            write_document(document)
        } else {
            Ok(())
        }
    }

    /// A line of the result for people; nothing with `--json`.
    pub(crate) fn line(self, text: impl AsRef<str>) -> Outcome {
        if self.json {
            Ok(())
        } else {
            write_text(text.as_ref())
        }
    }

    /// A remark, on stderr.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        if !self.quiet {
            write_error(&printable::lines(text.as_ref()));
        }
    }

    /// What a question is about, on stderr, even when quiet.
    pub(crate) fn show(self, text: impl AsRef<str>) {
        write_error(&printable::lines(text.as_ref()));
    }

    /// A warning, on stderr, even when quiet.
    pub(crate) fn warn(self, text: impl AsRef<str>) {
        warn(text.as_ref());
    }

    /// The failure, on stderr; nothing when nobody reads the result any more.
    pub(crate) fn failure(self, failure: &Failure) {
        if failure.exit == Exit::Unread {
            return;
        }
        if self.json {
            let mut error = json!({ "code": failure.code, "message": failure.message });
            if let (Some(object), Some(hint)) = (error.as_object_mut(), &failure.hint) {
                object.insert("hint".into(), hint.as_str().into());
            }
            if let (Some(object), Some(txid)) = (error.as_object_mut(), &failure.txid) {
                object.insert("txid".into(), txid.to_string().into());
            }
            write_error(&printable::json(&json!({ "error": error }).to_string()));
        } else {
            write_error(&format!("error: {}", printable::line(&failure.message)));
            if let Some(hint) = &failure.hint {
                write_error(&format!("  {}", printable::line(hint)));
            }
        }
    }

    /// A progress bar on stderr, drawn only on a terminal.
    pub(crate) fn bar(self, length: u64, template: &str) -> ProgressBar {
        if self.quiet || self.json {
            terminal::no_bar(length)
        } else {
            terminal::bar(length, template)
        }
    }

    /// Asks `y/N`. Without a terminal, refuses unless `yes` was given.
    pub(crate) fn confirm(self, question: &str, yes: bool) -> Outcome {
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(
                "this needs your agreement, and there is no terminal to ask",
            )
            .hint("read what is shown above, then give --yes"));
        }
        let answer = ask(&format!("{question} [y/N] "))?;
        if ["y", "yes"]
            .iter()
            .any(|yes| answer.eq_ignore_ascii_case(yes))
        {
            Ok(())
        } else {
            Err(Failure::failed("declined", "nothing was done"))
        }
    }
}

/// Asks for a secret on the terminal; what is typed is not shown.
pub(crate) fn ask_hidden(question: &str) -> Outcome<Zeroizing<String>> {
    terminal::without_bars(|| rpassword::prompt_password(printable::lines(question)))
        .map(Zeroizing::new)
        .map_err(|error| match error.kind() {
            // Ctrl-C.
            io::ErrorKind::Interrupted => Failure::interrupted(),
            _ => Failure::failed("terminal", error),
        })
}

/// A warning where no [`Output`] is at hand.
pub(crate) fn warn(text: &str) {
    write_error(&format!("warning: {}", printable::lines(text)));
}

/// How often it is asked whether Ctrl-C was pressed while a person thinks.
const HEAR_EVERY: Duration = Duration::from_millis(50);

/// Asks on the terminal, on stderr, and reads a line. Ctrl-C ends the question at once.
pub(crate) fn ask(question: &str) -> Outcome<String> {
    terminal::without_bars(|| ask_line(question))
}

fn ask_line(question: &str) -> Outcome<String> {
    let failed = |error: io::Error| Failure::failed("terminal", error);
    let mut stderr = io::stderr().lock();
    stderr
        .write_all(printable::lines(question).as_bytes())
        .and_then(|()| stderr.flush())
        .map_err(failed)?;
    drop(stderr);
    let (sender, answer) = mpsc::channel();
    // A thread of its own: a read of a terminal cannot be given up.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line).map(|_| line);
        // Nobody waits for it any more when Ctrl-C was pressed.
        let _ = sender.send(read);
    });
    loop {
        let heard = answer.recv_timeout(HEAR_EVERY);
        if is_interrupted() {
            write_error("");
            return Err(Failure::interrupted());
        }
        match heard {
            Ok(line) => return Ok(line.map_err(failed)?.trim().to_owned()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::failed(
                    "terminal",
                    "the terminal could not be read",
                ));
            }
        }
    }
}

fn write_text(text: &str) -> Outcome {
    write(format!("{}\n", printable::lines(text)).as_bytes())
}

fn write_document(document: &Value) -> Outcome {
    write(format!("{}\n", printable::json(&document.to_string())).as_bytes())
}

/// Text that is this program's own, as it is.
pub(crate) fn write(result: &[u8]) -> Outcome {
    let written = terminal::above_bars(|| {
        let mut stdout = io::stdout().lock();
        stdout.write_all(result).and_then(|()| stdout.flush())
    });
    written.map_err(|error| unwritten(&error))
}

/// The result cannot be written. When nobody reads it any more (`… | head -1`),
/// that is an end without words.
pub(crate) fn unwritten(error: &io::Error) -> Failure {
    let mut failure = Failure::failed("stdout", format!("cannot write the result: {error}"));
    if error.kind() == io::ErrorKind::BrokenPipe {
        failure.exit = Exit::Unread;
    }
    failure
}

/// stderr is the last resort: if even that is gone there is nobody to tell.
fn write_error(line: &str) {
    let _ = terminal::above_bars(|| writeln!(io::stderr().lock(), "{line}"));
}

/// Where the log goes: stderr, escaped as everything else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogWriter {
    /// The log colours its lines.
    pub(crate) coloured: bool,
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = printable::log(&String::from_utf8_lossy(line), self.coloured);
        terminal::above_bars(|| io::stderr().lock().write_all(text.as_bytes()))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
