//! How similar a sample of the rows is to the query: where noise ends, and matches begin.

use crate::database::Database;
use crate::error::Failure;
use crate::search::Search;

/// Rows that are looked at.
const SAMPLE: i64 = 5000;
/// Bars.
const BARS: usize = 48;

/// Similarities, counted.
pub struct Histogram {
    /// Rows that were looked at.
    pub sampled: usize,
    /// The similarity at the beginning of the first bar and at the end of the last.
    pub range: (f32, f32),
    /// Rows of each bar.
    pub bars: Vec<usize>,
    /// The least similarity of a match, where enough rows say so.
    pub threshold: Option<f32>,
}

/// Looks at a sample of the table. `None`: no row has an embedding with a direction.
///
/// # Errors
/// What the database says.
pub async fn of(database: &Database, search: &Search<'_>) -> Result<Option<Histogram>, Failure> {
    let sql = search.sample(SAMPLE)?;
    let rows = database.run(&sql.run, &sql.values).await?.rows;
    let similarities: Vec<f32> =
        rows.iter().filter_map(|row| row.get(0)).filter(|number: &f32| number.is_finite()).collect();
    // Too few rows are an error there, and no threshold here.
    let sql = search.threshold()?;
    let threshold = database.run(&sql.run, &sql.values).await.ok();
    let threshold = threshold.and_then(|answer| answer.rows.first()?.get(0));
    Ok(count(&similarities, threshold))
}

fn count(similarities: &[f32], threshold: Option<f32>) -> Option<Histogram> {
    let least = similarities.iter().copied().reduce(f32::min)?;
    let most = similarities.iter().copied().reduce(f32::max)?;
    // A little room, and never none.
    let (least, most) = ((least - 0.01).max(-1.0), (most + 0.01).min(1.0));
    let mut bars = vec![0; BARS];
    for similarity in similarities {
        let place = (similarity - least) / (most - least) * BARS as f32;
        bars[(place as usize).min(BARS - 1)] += 1;
    }
    Some(Histogram { sampled: similarities.len(), range: (least, most), bars, threshold })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_in_one_bar() {
        assert!(count(&[], None).is_none());
        for similarities in [vec![0.5], vec![1.0, 1.0], vec![-1.0, 1.0], vec![0.1, 0.2, 0.2, 0.3]] {
            let histogram = count(&similarities, Some(0.25)).unwrap();
            assert_eq!(histogram.bars.iter().sum::<usize>(), similarities.len());
            assert!(histogram.range.0 < histogram.range.1);
        }
        let histogram = count(&[0.0, 0.0, 1.0], None).unwrap();
        assert_eq!((histogram.bars[0], histogram.bars[BARS - 1]), (2, 1));
    }
}
