//! Text of other people, made harmless to a terminal.
//!
//! A file, a link, a node, a peer and a token's issuer choose words that are shown
//! here. Control characters in them would move the cursor, change the window's
//! title or write to the clipboard; characters that change the direction of
//! writing would show an address or a file name in another order than it has.
//! Everything that is printed passes one of these functions in `output.rs`.

use std::{borrow::Cow, fmt::Write};

/// Whether `c` acts on a terminal instead of being shown by it: C0, DEL and C1,
/// marks and overrides of direction, line and paragraph separators, and the
/// characters that are invisible everywhere.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Several lines: everything but the ends of lines is escaped, as `\u{1b}`.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| c != '\n' && acts(c), braced)
}

/// One line, or a part of one: ends of lines are escaped too.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escape(text, acts, braced)
}

/// A JSON document: but for ends of lines, such characters stand in its strings
/// alone, where JSON has an escape for each.
pub(crate) fn json(document: &str) -> Cow<'_, str> {
    escape(
        document,
        |c| c != '\n' && acts(c),
        |out, c| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

/// A line of a log: the colours that the log's own writer adds stay.
pub(crate) fn log(line: &str, coloured: bool) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        out.push_str(&lines(before));
        match after.find(|c: char| !matches!(c, '[' | ';' | '0'..='9')) {
            Some(end) if coloured && after.get(end..).is_some_and(|at| at.starts_with('m')) => {
                let (colour, text) = after.split_at(end + 1);
                out.push('\u{1b}');
                out.push_str(colour);
                rest = text;
            }
            _ => {
                braced(&mut out, '\u{1b}');
                rest = after;
            }
        }
    }
    out.push_str(&lines(rest));
    out
}

fn braced(out: &mut String, c: char) {
    out.extend(c.escape_unicode());
}

fn escape(
    text: &str,
    hostile: impl Fn(char) -> bool,
    write: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    if !text.chars().any(&hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hostile(c) {
            write(&mut out, c);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "a\u{1b}]52;c;eA==\u{7}\r\n\u{9b}31m\u{7f}\u{202e}\u{2066}\u{200f}\u{e0041}ü😀";

    #[test]
    fn nothing_that_acts_on_a_terminal_is_left() {
        for shown in [line(HOSTILE), lines(HOSTILE), json(HOSTILE)] {
            assert!(!shown.chars().any(|c| c != '\n' && acts(c)), "{shown:?}");
            assert!(shown.contains("ü😀"), "{shown}");
        }
        assert_eq!(line("a\nb\tc"), "a\\u{a}b\\u{9}c");
        assert_eq!(lines("a\n\u{202e}b"), "a\n\\u{202e}b");
        assert!(matches!(line("plain: ü, 漢字, 😀"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_json_document_means_the_same_afterwards() {
        let value = serde_json::json!({ "name\u{202e}": HOSTILE });
        let shown = json(&value.to_string()).into_owned();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }

    #[test]
    fn a_log_keeps_its_own_colours_alone() {
        let logged = "\u{1b}[33m WARN\u{1b}[0m name=\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}";
        assert_eq!(
            log(logged, true),
            "\u{1b}[33m WARN\u{1b}[0m name=\\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{1b}"
        );
        assert!(!log(logged, false).contains('\u{1b}'));
    }
}
