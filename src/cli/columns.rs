//! Tables that fit: where the terminal is narrow, wide cells are cut first, then whole columns are left out.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::screen::{Screen, Tone};

const GAP: usize = 2;

/// Columns that go no earlier than this share the room as equals.
const LATE: u8 = 3;

/// How a cell that is too long loses characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// At the end: sentences.
    End,
    /// In the middle: names, whose last part tells them apart.
    Middle,
    /// Never.
    Never,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub title: &'static str,
    pub cut: Cut,
    /// Least width to which it is cut.
    pub min: usize,
    /// Left out when there is no room; the highest goes first, 0 never goes.
    pub leave: u8,
}

impl Column {
    pub const fn fixed(title: &'static str) -> Self {
        Self { title, cut: Cut::Never, min: 0, leave: 0 }
    }

    pub const fn name(title: &'static str, min: usize) -> Self {
        Self { title, cut: Cut::Middle, min, leave: 0 }
    }

    pub const fn text(title: &'static str, min: usize) -> Self {
        Self { title, cut: Cut::End, min, leave: 0 }
    }

    #[must_use]
    pub const fn leave(self, leave: u8) -> Self {
        Self { leave, ..self }
    }
}

/// One cell: text without control characters, and its tone.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub fn new(text: &str) -> Self {
        Self::toned(text, Tone::Plain)
    }

    pub fn toned(text: &str, tone: Tone) -> Self {
        let text = if text.is_empty() { "-".to_owned() } else { clean(text) };
        Self { text, tone }
    }
}

/// Text from outside on one line, without anything a terminal would obey.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_bidi(c) { ' ' } else { c }).collect()
}

/// Characters that change the direction of the text after them.
const fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Draws a table; one line a row, no trailing blanks.
pub fn table(columns: &[Column], rows: &[Vec<Cell>], headers: bool, screen: Screen) -> String {
    let natural: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| {
            let title = if headers { column.title.width() } else { 0 };
            rows.iter().filter_map(|r| r.get(i)).map(|c| c.text.width()).max().unwrap_or(0).max(title)
        })
        .collect();
    let widths = fit(columns, &natural, screen.width);
    let mut out = String::new();
    if headers {
        let titles: Vec<Cell> =
            columns.iter().map(|c| Cell { text: c.title.to_owned(), tone: Tone::Heading }).collect();
        line(&mut out, columns, &titles, &widths, screen);
    }
    for row in rows {
        line(&mut out, columns, row, &widths, screen);
    }
    out
}

fn line(out: &mut String, columns: &[Column], cells: &[Cell], widths: &[Option<usize>], screen: Screen) {
    let shown: Vec<_> =
        columns.iter().zip(cells).zip(widths).filter_map(|((c, cell), w)| w.map(|w| (c, cell, w))).collect();
    for (i, (column, cell, width)) in shown.iter().enumerate() {
        let text = shorten(&cell.text, *width, column.cut);
        out.push_str(&screen.paint(cell.tone, &text));
        if i + 1 < shown.len() {
            out.extend(std::iter::repeat_n(' ', width.saturating_sub(text.width()) + GAP));
        }
    }
    out.push('\n');
}

/// Width of each column; `None` = left out.
fn fit(columns: &[Column], natural: &[usize], room: Option<usize>) -> Vec<Option<usize>> {
    let mut shown: Vec<bool> = vec![true; columns.len()];
    let Some(room) = room else { return natural.iter().map(|w| Some(*w)).collect() };
    let least = |i: usize| match columns[i].cut {
        Cut::Never => natural[i],
        Cut::End | Cut::Middle => natural[i].min(columns[i].min.max(columns[i].title.width())),
    };
    loop {
        let of: Vec<usize> = (0..columns.len()).filter(|i| shown[*i]).collect();
        let need: usize = of.iter().map(|i| least(*i)).sum::<usize>() + GAP * of.len().saturating_sub(1);
        let gone = of.iter().copied().filter(|i| columns[*i].leave > 0).max_by_key(|i| columns[*i].leave);
        match gone {
            Some(i) if need > room => shown[i] = false,
            _ => return grow(columns, &of, &least, natural, room.saturating_sub(need)),
        }
    }
}

/// Hands out `spare`: first to columns that would go late, and among these as many as possible become complete.
fn grow(
    columns: &[Column],
    of: &[usize],
    least: &impl Fn(usize) -> usize,
    natural: &[usize],
    mut spare: usize,
) -> Vec<Option<usize>> {
    let mut widths: Vec<Option<usize>> = vec![None; columns.len()];
    for i in of {
        widths[*i] = Some(least(*i));
    }
    while spare > 0 {
        let missing = |i: usize| natural[i].saturating_sub(widths[i].unwrap_or(natural[i]));
        let next = of.iter().copied().filter(|i| missing(*i) > 0);
        let Some(i) = next.min_by_key(|i| (columns[*i].leave.max(LATE), missing(*i))) else { break };
        widths[i] = widths[i].map(|w| w + 1);
        spare -= 1;
    }
    widths
}

/// `text` in at most `width` columns, with … where something is missing.
pub fn shorten(text: &str, width: usize, cut: Cut) -> String {
    if text.width() <= width || cut == Cut::Never {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(1) else { return String::new() };
    let tail = if cut == Cut::Middle { room / 2 } else { 0 };
    let head = take(text.chars(), room - tail);
    let mut back: Vec<char> = take(text.chars().rev(), tail);
    back.reverse();
    head.into_iter().chain(std::iter::once('…')).chain(back).collect()
}

fn take(chars: impl Iterator<Item = char>, width: usize) -> Vec<char> {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= width
        })
        .collect()
}

/// `text` broken between words into lines of at most `width` columns (words that are longer stand alone), all but
/// the first indented by `indent` blanks; `first` columns of the first line are taken.
pub fn wrap(text: &str, first: usize, indent: usize, width: Option<usize>) -> String {
    let Some(width) = width else { return clean(text) };
    let mut out = String::new();
    let mut at = first;
    let mut fresh = true;
    for word in clean(text).split_whitespace() {
        let long = word.width();
        if !fresh && at + 1 + long > width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            at = indent;
            fresh = true;
        }
        if !fresh {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += long;
        fresh = false;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(width: Option<usize>) -> String {
        let columns = [
            Column::name("NAME", 8),
            Column::fixed("SINCE"),
            Column::text("MESSAGE", 10),
            Column::text("NEXT", 6).leave(1),
        ];
        let rows = vec![
            vec![
                Cell::new("load-europe-7xk2p"),
                Cell::new("3d4h"),
                Cell::new("waits to be resumed by hand"),
                Cell::new(""),
            ],
            vec![Cell::new("b"), Cell::new("26h"), Cell::new("a\u{1b}[31m\nb"), Cell::new("notify again in 2h")],
        ];
        table(&columns, &rows, true, Screen { width, colour: false, terminal: false })
    }

    #[test]
    fn nothing_is_cut_without_a_width() {
        assert_eq!(
            draw(None),
            "NAME               SINCE  MESSAGE                      NEXT\n\
             load-europe-7xk2p  3d4h   waits to be resumed by hand  -\n\
             b                  26h    a [31m b                     notify again in 2h\n"
        );
    }

    #[test]
    fn cells_are_cut_before_columns_go() {
        let drawn = draw(Some(50));
        assert!(drawn.lines().all(|l| l.width() <= 50), "{drawn}");
        assert!(drawn.contains("NEXT") && drawn.contains('…'), "{drawn}");
        let narrow = draw(Some(30));
        assert!(narrow.lines().all(|l| l.width() <= 30), "{narrow}");
        assert!(!narrow.contains("NEXT") && narrow.contains("k2p"), "{narrow}");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(shorten("工作流程", 5, Cut::End), "工作…");
        assert_eq!(shorten("abcdefgh", 5, Cut::Middle), "ab…gh");
        assert_eq!(shorten("abc", 0, Cut::End), "");
    }

    #[test]
    fn sentences_break_between_words() {
        assert_eq!(wrap("one two three four", 4, 4, Some(12)), "one two\n    three\n    four");
        assert_eq!(wrap("one two three four", 4, 4, None), "one two three four");
    }
}
