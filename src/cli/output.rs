//! What a command writes: results on stdout, everything else on stderr.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::failure::{Failure, Outcome};

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
        let line = if self.json {
            document.to_string()
        } else {
            text()
        };
        write_line(&line)
    }

    /// One line of JSON Lines; nothing without `--json`.
    pub(crate) fn event(self, document: &Value) -> Outcome {
        if self.json {
            write_line(&document.to_string())
        } else {
            Ok(())
        }
    }

    /// A line of the result for people; nothing with `--json`.
    pub(crate) fn line(self, text: impl AsRef<str>) -> Outcome {
        if self.json {
            Ok(())
        } else {
            write_line(text.as_ref())
        }
    }

    /// A remark, on stderr.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        if !self.quiet {
            write_error(text.as_ref());
        }
    }

    /// A warning, on stderr, even when quiet.
    pub(crate) fn warn(self, text: impl AsRef<str>) {
        write_error(&format!("warning: {}", text.as_ref()));
    }

    /// The failure, on stderr.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            let mut error = json!({ "code": failure.code, "message": failure.message });
            if let (Some(object), Some(hint)) = (error.as_object_mut(), &failure.hint) {
                object.insert("hint".into(), hint.as_str().into());
            }
            if let (Some(object), Some(txid)) = (error.as_object_mut(), &failure.txid) {
                object.insert("txid".into(), txid.to_string().into());
            }
            write_error(&json!({ "error": error }).to_string());
        } else {
            write_error(&format!("error: {}", failure.message));
            if let Some(hint) = &failure.hint {
                write_error(&format!("  {hint}"));
            }
        }
    }

    /// A progress bar on stderr, drawn only on a terminal.
    pub(crate) fn bar(self, length: u64, template: &str) -> ProgressBar {
        let visible = !self.quiet && !self.json && io::stderr().is_terminal();
        let target = if visible {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("█▉▊▋▌▍▎▏ ");
        ProgressBar::with_draw_target(Some(length), target).with_style(style)
    }

    /// Asks `y/N`. Without a terminal, refuses unless `yes` was given.
    pub(crate) fn confirm(self, question: &str, yes: bool) -> Outcome {
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(
                Failure::usage("this moves money and there is no terminal to ask")
                    .hint("look at it with --dry-run, then give --yes"),
            );
        }
        if ask(&format!("{question} [y/N] "))?.eq_ignore_ascii_case("y") {
            Ok(())
        } else {
            Err(Failure::failed("declined", "nothing was done"))
        }
    }
}

/// Asks on the terminal, on stderr, and reads a line.
pub(crate) fn ask(question: &str) -> Outcome<String> {
    let failed = |error: io::Error| Failure::failed("terminal", error);
    let mut stderr = io::stderr().lock();
    stderr
        .write_all(question.as_bytes())
        .and_then(|()| stderr.flush())
        .map_err(failed)?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(failed)?;
    Ok(line.trim().to_owned())
}

fn write_line(line: &str) -> Outcome {
    write(format!("{line}\n").as_bytes())
}

/// The result, as it is.
pub(crate) fn write(result: &[u8]) -> Outcome {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(result)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::failed("stdout", format!("cannot write the result: {error}")))
}

/// stderr is the last resort: if even that is gone there is nobody to tell.
fn write_error(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
