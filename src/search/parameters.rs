//! The parameters of a statement that is being written.

use crate::spi::Argument;

/// The parameters of a statement.
#[derive(Default)]
pub struct Parameters(pub Vec<Argument>);

impl Parameters {
    /// Adds one; returns its name in the statement.
    pub fn add(&mut self, argument: Argument) -> String {
        self.0.push(argument);
        format!("${}", self.0.len())
    }
}
