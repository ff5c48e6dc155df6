//! Says how far the work is: a bar on a terminal, a line now and then elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How far one step is.
pub struct Progress {
    bar: ProgressBar,
    /// The time of the latest line; `None` on a terminal.
    line: Option<Instant>,
}

impl Progress {
    /// Starts a step of `total` items.
    pub fn start(what: &'static str, total: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("  {msg:11} {bar:30} {human_pos} of {human_len}, {eta} left")
            .expect("the template is well-formed")
            .progress_chars("━╸ ");
        let bar = ProgressBar::with_draw_target(Some(total as u64), target).with_style(style).with_message(what);
        Self { bar, line: (!terminal).then(Instant::now) }
    }

    /// `count` more items are done.
    pub fn advance(&mut self, count: usize) {
        self.bar.inc(count as u64);
        if let Some(line) = &mut self.line
            && line.elapsed() >= LINE_EVERY
        {
            *line = Instant::now();
            let total = self.bar.length().unwrap_or_default();
            let (done, total) = (number(self.bar.position() as usize), number(total as usize));
            eprintln!("  {:11} {done} of {total}", self.bar.message());
        }
    }

    /// The step is done: takes the bar away, and gives the time it took.
    pub fn finish(self) -> Duration {
        let took = self.bar.elapsed();
        self.bar.finish_and_clear();
        took
    }
}

/// A number with its thousands set apart.
pub fn number(value: usize) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `one` or `many` with the number before it.
pub fn counted(value: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(value), if value == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(number).each_ref().map(String::as_str)
        );
        assert_eq!(counted(1, "image", "images"), "1 image");
        assert_eq!(counted(0, "image", "images"), "0 images");
    }
}
