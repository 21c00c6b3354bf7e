//! The terminal on stderr: progress bars at its foot, all other lines above them.

use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthChar;

/// All bars of the process. Where stderr is no terminal nothing is drawn.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Columns and rows of a terminal that does not say its size.
const USUAL: (usize, usize) = (80, 24);

/// A new bar below those that are there.
pub(super) fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▉▊▋▌▍▎▏ ");
    BARS.add(no_bar(length).with_style(style))
}

/// A bar that is never drawn.
pub(super) fn no_bar(length: u64) -> ProgressBar {
    ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden())
}

/// Writes lines above the bars. `write` must not write by this function again.
pub(super) fn above_bars<T>(write: impl FnOnce() -> T) -> T {
    BARS.suspend(write)
}

/// Asks a question while no bar is drawn.
pub(super) fn without_bars<T>(ask: impl FnOnce() -> T) -> T {
    // A terminal that is gone is noticed by the question.
    let _ = BARS.clear();
    BARS.set_draw_target(ProgressDrawTarget::hidden());
    let answer = ask();
    BARS.set_draw_target(ProgressDrawTarget::stderr());
    answer
}

/// Columns and rows of the terminal; those of a usual one where stderr is none.
pub(super) fn size() -> (usize, usize) {
    match tcgetwinsize(rustix::stdio::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => USUAL,
    }
}

/// A line cut to `columns`, with `…` for its end.
pub(super) fn fit(line: &str, columns: usize) -> String {
    let width = |one: char| one.width().unwrap_or(0);
    if line.chars().map(width).sum::<usize>() <= columns {
        return line.to_owned();
    }
    let mut used = 0;
    let mut cut: String = line
        .chars()
        .take_while(|one| {
            used += width(*one);
            used < columns
        })
        .collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_the_columns_that_it_takes() {
        assert_eq!(fit("film.bin", 8), "film.bin");
        assert_eq!(fit("film.bins", 8), "film.bi…");
        // Each of these takes two columns.
        assert_eq!(fit("映画映画", 8), "映画映画");
        assert_eq!(fit("映画映画映", 8), "映画映…");
        assert_eq!(fit("", 0), "");
    }
}
