//! What a graph that was made for a calibration answers beside its vectors: the largest magnitudes of its activations, and
//! numbers about its attention.

use ort::session::SessionOutputs;
use ort::value::Outlet;

/// How the names of such outputs begin; a number follows, from 0.
pub const RANGE_PREFIX: &str = "clip_search_range_";

/// The largest magnitudes of all runs so far, by channel. Empty for other graphs.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    outputs: Vec<String>,
    most: Vec<Vec<f32>>,
}

impl Ranges {
    pub fn of(outputs: &[Outlet]) -> Ranges {
        let names = || outputs.iter().map(Outlet::name).filter(|name| name.starts_with(RANGE_PREFIX));
        let outputs: Vec<String> = (0..names().count()).map(|number| format!("{RANGE_PREFIX}{number}")).collect();
        Ranges { most: vec![Vec::new(); outputs.len()], outputs }
    }

    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    pub fn most(&self) -> &[Vec<f32>] {
        &self.most
    }

    /// Takes in what a run has answered.
    pub fn widen(&mut self, answer: &SessionOutputs<'_>) -> ort::Result<()> {
        for (output, most) in self.outputs.iter().zip(&mut self.most) {
            let (_, values) = answer[output.as_str()].try_extract_tensor::<f32>()?;
            most.resize(values.len(), 0.0);
            most.iter_mut().zip(values).for_each(|(most, value)| *most = most.max(*value));
        }
        Ok(())
    }
}
