//! Bars of amounts, on a terminal and as SVG. No floats: an amount is a whole
//! number of raw units, and a bar a whole number of cells.

use std::fmt::Write;

/// One bar: its name, and its parts from the left.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) parts: [u128; 3],
}

impl Bar {
    fn sum(&self) -> u128 {
        self.parts
            .iter()
            .fold(0, |sum, part| sum.saturating_add(*part))
    }
}

/// What the parts are called, from the left.
pub(crate) const PARTS: [&str; 3] = ["final", "in flight", "pending"];
/// Cells of the longest bar on a terminal.
const CELLS: u128 = 48;
const MARKS: [char; 3] = ['█', '▒', '░'];

/// The parts of a bar in whole cells. The ends of the parts are rounded, not the
/// parts, so that a bar is as long as its sum says; one that is not empty has a
/// cell at least.
fn cells(bar: &Bar, longest: u128, width: u128) -> [u128; 3] {
    let mut lengths = [0; 3];
    let (mut run, mut drawn) = (0u128, 0u128);
    let of = |sum: u128| {
        let whole = sum / longest.max(1) * width;
        whole + (sum % longest.max(1)).saturating_mul(width) / longest.max(1)
    };
    for (length, part) in lengths.iter_mut().zip(bar.parts) {
        run = run.saturating_add(part);
        let end = of(run).max(drawn);
        *length = end - drawn;
        if part > 0 && *length == 0 && drawn == 0 {
            *length = 1;
        }
        drawn += *length;
    }
    lengths
}

/// Bars for a terminal, one a line, and what the marks mean. `amount` writes a
/// sum.
pub(crate) fn text(bars: &[Bar], amount: impl Fn(u128) -> String) -> String {
    let longest = bars.iter().map(Bar::sum).max().unwrap_or(0);
    let width = bars.iter().map(|bar| bar.label.chars().count()).max();
    let mut out = String::new();
    for bar in bars {
        let label = &bar.label;
        let pad = width.unwrap_or(0) - label.chars().count();
        out.push_str(label);
        out.extend(std::iter::repeat_n(' ', pad + 2));
        for (length, mark) in cells(bar, longest, CELLS).into_iter().zip(MARKS) {
            let length = usize::try_from(length).unwrap_or(0);
            out.extend(std::iter::repeat_n(mark, length));
        }
        if bar.sum() > 0 {
            out.push(' ');
        }
        out.push_str(&amount(bar.sum()));
        out.push('\n');
    }
    for (mark, name) in MARKS.iter().zip(PARTS) {
        out.push(*mark);
        out.push(' ');
        out.push_str(name);
        out.push_str("   ");
    }
    out.trim_end().to_owned()
}

const COLOURS: [&str; 3] = ["#059669", "#2563eb", "#b45309"];
/// The drawing: pixels of the names, of the longest bar, of the amounts, of a row.
const NAMES: u128 = 300;
const BARS: u128 = 420;
const AMOUNTS: u128 = 140;
const ROW: usize = 22;

/// The same as an SVG, readable on light and dark.
pub(crate) fn svg(title: &str, bars: &[Bar], amount: impl Fn(u128) -> String) -> String {
    let longest = bars.iter().map(Bar::sum).max().unwrap_or(0);
    let top = 44;
    let height = top + bars.len() * ROW + 36;
    let width = NAMES + BARS + AMOUNTS;
    let mut out = String::new();
    // To write to a `String` cannot fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>{title}</title>\n<style>text{{font:12px system-ui,sans-serif;fill:#334155}}\
         @media(prefers-color-scheme:dark){{text{{fill:#cbd5e1}}}}</style>\n\
         <text x=\"{}\" y=\"22\" text-anchor=\"middle\" font-size=\"15\">{title}</text>\n",
        width / 2,
        title = escaped(title),
    );
    for (n, bar) in bars.iter().enumerate() {
        let y = top + n * ROW;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            NAMES - 8,
            y + 13,
            escaped(&bar.label)
        );
        let mut x = NAMES;
        for (length, colour) in cells(bar, longest, BARS).into_iter().zip(COLOURS) {
            if length > 0 {
                let _ = writeln!(
                    out,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{length}\" height=\"{}\" fill=\"{colour}\"/>",
                    ROW - 6
                );
            }
            x += length;
        }
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\">{}</text>",
            x + 6,
            y + 13,
            escaped(&amount(bar.sum()))
        );
    }
    let y = top + bars.len() * ROW + 10;
    for ((n, name), colour) in PARTS.iter().enumerate().zip(COLOURS) {
        let x = 300 + n * 110;
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{}\">{name}</text>",
            x + 18,
            y + 11
        );
    }
    out.push_str("</svg>\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, parts: [u128; 3]) -> Bar {
        Bar {
            label: label.to_owned(),
            parts,
        }
    }

    #[test]
    fn bars_are_as_long_as_their_sums() {
        let bars = [
            bar("a", [50, 25, 25]),
            bar("longer", [0, 0, 50]),
            bar("tiny", [1, 0, 0]),
            bar("none", [0, 0, 0]),
        ];
        let drawn = text(&bars, |sum| sum.to_string());
        let lines: Vec<_> = drawn.lines().collect();
        let marks = |line: &str, mark| line.chars().filter(|c| *c == mark).count();
        assert_eq!(
            MARKS.map(|mark| marks(lines[0], mark)),
            [24, 12, 12],
            "{drawn}"
        );
        assert_eq!(MARKS.map(|mark| marks(lines[1], mark)), [0, 0, 24]);
        assert_eq!(marks(lines[2], '█'), 1);
        assert_eq!(lines[3], "none    0");
        assert!(lines[0].starts_with("a       █") && lines[0].ends_with("░ 100"));
        // The largest amounts there are do not overflow.
        let _ = text(&[bar("max", [u128::MAX / 2; 3])], |sum| sum.to_string());
    }

    #[test]
    fn a_drawing_is_well_formed() {
        let drawn = svg("a < b & c", &[bar("<x>", [3, 2, 1])], |sum| sum.to_string());
        assert!(drawn.contains("<title>a &lt; b &amp; c</title>") && drawn.contains("&lt;x&gt;"));
        let widths: Vec<u128> = drawn
            .split("<rect ")
            .skip(1)
            .filter(|part| part.contains("height=\"16\""))
            .filter_map(|part| {
                part.split("width=\"")
                    .nth(1)?
                    .split('"')
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        assert_eq!(widths, [210, 140, 70]);
    }
}
