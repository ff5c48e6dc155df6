//! What the inputs of graphs are fed with, told by their names.

use crate::spec::Modality;

/// What an input is fed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Token ids.
    Ids,
    /// 1 for each token, 0 for padding.
    Mask,
    /// The number of the sentence that a token is of: always the first.
    Types,
    /// The places of the tokens.
    Positions,
    /// Preprocessed images.
    Pixels,
}

impl Role {
    /// The role of an input; `None` for a name that is not known.
    pub fn of(name: &str) -> Option<Role> {
        Some(match name {
            "input_ids" | "text" => Role::Ids,
            "attention_mask" => Role::Mask,
            "token_type_ids" => Role::Types,
            "position_ids" => Role::Positions,
            "pixel_values" | "image" | "pixels" => Role::Pixels,
            _ => return None,
        })
    }

    /// The encoder whose input it is.
    pub fn modality(self) -> Modality {
        if self == Role::Pixels { Modality::Image } else { Modality::Text }
    }
}
