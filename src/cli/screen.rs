//! What the output goes to: how wide it is and whether it takes colour.

use std::io::IsTerminal;

use clap::builder::styling::{AnsiColor, Style};

/// The place a table is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns of the terminal; `None` = nothing is cut or wrapped.
    pub width: Option<usize>,
    pub colour: bool,
    /// Whether people look at it: only then is it redrawn in place.
    pub terminal: bool,
}

impl Screen {
    /// A file or a pipe.
    pub const PLAIN: Self = Self { width: None, colour: false, terminal: false };

    /// That of standard output, after `NO_COLOR`, `CLICOLOR_FORCE` and the like.
    pub fn of_stdout(no_color: bool) -> Self {
        let out = std::io::stdout();
        let terminal = out.is_terminal();
        let width = if terminal { terminal_size::terminal_size().map(|(w, _)| usize::from(w.0)) } else { None };
        let colour = !no_color && anstream::AutoStream::choice(&out) != anstream::ColorChoice::Never;
        Self { width, colour, terminal }
    }

    /// Never cuts.
    #[must_use]
    pub const fn wide(self) -> Self {
        Self { width: None, ..self }
    }

    /// `text` in `tone`, where there is colour.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        match tone.style() {
            Some(style) if self.colour && !text.is_empty() => format!("{style}{text}{style:#}"),
            _ => text.to_owned(),
        }
    }
}

/// The few meanings a colour has here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Heading,
    Good,
    Waiting,
    Bad,
    Faint,
}

impl Tone {
    const fn style(self) -> Option<Style> {
        Some(match self {
            Self::Plain => return None,
            Self::Heading => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Waiting => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Faint => Style::new().dimmed(),
        })
    }
}
