//! The labels of a zero-shot classification: embedded once, however many rows a query has.

use crate::errors::{ArgumentError, Result};
use crate::{client, embedding, memo, scope, settings, text};
use similarity::{Labels, Logits};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Where a label goes in a template.
const PLACE: &str = "{}";

/// What a classification is asked for.
#[derive(PartialEq, Eq)]
pub struct Question {
    /// The model's name.
    pub model: String,
    /// At least one.
    pub labels: Vec<String>,
    /// At least one; each has a `{}`.
    pub templates: Vec<String>,
}

/// Labels that are ready to be compared with embeddings.
pub struct LabelSet {
    /// The labels in the database's encoding, in the order of the question.
    pub names: Vec<Vec<u8>>,
    /// Their embeddings.
    pub labels: Labels,
    /// The model's name.
    pub model: String,
}

/// What the arguments of a call look like to Postgres: equal bytes are equal arguments.
pub type RawArguments = [Option<Vec<u8>>; 4];

/// Sets that are remembered: a query may ask for several, and labels may come from a column.
const SETS: usize = 16;
/// Texts of all labels with all templates.
const MOST_PROMPTS: usize = 100_000;

struct Known {
    arguments: RawArguments,
    model: String,
    loaded_at: i64,
    /// Whether it was made under the settings as of then.
    is_lasting: bool,
    statement: i64,
    set: Rc<LabelSet>,
}

thread_local! {
    /// The latest first.
    static KNOWN: RefCell<VecDeque<Known>> = const { RefCell::new(VecDeque::new()) };
}

/// The label set of an earlier call, where its arguments were the same and still mean the same. `same` compares.
pub fn known(same: impl Fn(&RawArguments) -> bool) -> Option<Rc<LabelSet>> {
    let statement = scope::statement();
    KNOWN.with_borrow_mut(|all| {
        // Within one statement nothing changes; a later one may see another server or other settings.
        if all.front().is_some_and(|known| known.statement != statement) {
            if !client::is_connected() {
                all.clear();
            }
            all.retain(|known| known.is_lasting && known.loaded_at == settings::loaded_at());
            all.iter_mut().for_each(|known| known.statement = statement);
        }
        let model = || settings::model();
        let found = all.iter().position(|known| {
            // The model that was not named is the session's.
            same(&known.arguments) && (known.arguments[3].is_some() || known.model == model())
        })?;
        if found > 0 {
            let known = all.remove(found)?;
            all.push_front(known);
        }
        all.front().map(|known| Rc::clone(&known.set))
    })
}

/// Embeds the labels of a question and remembers them for the next call.
///
/// # Errors
/// What embedding may raise; [`ArgumentError::BadLabels`].
pub fn embed(question: Question, arguments: RawArguments) -> Result<Rc<LabelSet>> {
    check_size(&question)?;
    let Question { model, labels, templates } = question;
    let loaded_at = settings::loaded_at();
    let prompts = labels.iter().flat_map(|label| templates.iter().map(move |template| template.replace(PLACE, label)));
    let embeddings = embedding::of_texts(&model, prompts)?;
    let protocol::Logits { scale, bias } = client::logits(&model)?;
    let labels_embedded =
        Labels::new(&embeddings, templates.len(), Logits { scale, bias }).ok_or(ArgumentError::BadLabels)?;
    let names = labels.iter().map(|label| text::to_c(label).into_bytes()).collect();
    let set = Rc::new(LabelSet { names, labels: labels_embedded, model: model.clone() });
    let is_lasting = memo::is_lasting();
    let known = Known { arguments, model, loaded_at, is_lasting, statement: scope::statement(), set: Rc::clone(&set) };
    KNOWN.with_borrow_mut(|all| {
        all.truncate(SETS - 1);
        all.push_front(known);
    });
    Ok(set)
}

/// Fails where prompts are too many, or one of them too long to be built: a template may have its place many times.
fn check_size(question: &Question) -> Result<()> {
    let Question { labels, templates, .. } = question;
    let prompts = labels.len().saturating_mul(templates.len());
    if prompts > MOST_PROMPTS {
        return Err(ArgumentError::TooManyPrompts { prompts, max: MOST_PROMPTS }.into());
    }
    let label = labels.iter().map(String::len).max().unwrap_or_default();
    let longest = |template: &String| template.matches(PLACE).count().saturating_mul(label) + template.len();
    embedding::check_text_size(templates.iter().map(longest).max().unwrap_or_default())
}

/// Fails where a template has no place for the label.
///
/// # Errors
/// [`ArgumentError::Template`].
pub fn check_template(template: &str) -> Result<()> {
    if template.contains(PLACE) {
        Ok(())
    } else {
        Err(ArgumentError::Template { template: template.to_owned() }.into())
    }
}
