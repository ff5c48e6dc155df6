//! The calls that a batch can answer.

use super::plan_tree::tag;
use super::volatile::is_of_row;
use crate::c_function;
use crate::functions::EmbedFunction;
use crate::list::{cells, elements};
use crate::memo::Modality;
use pgrx::pg_catalog::pg_proc::PgProc;
use pgrx::pg_sys::{self, Expr, FuncExpr, List, NodeTag, Oid, TargetEntry};

/// The OID of the language, of which pgrx has no name.
const C: Oid = Oid::from_u32(13);

/// A call within a target list.
#[derive(Clone, Copy)]
pub struct Call {
    /// Where the call points to what is embedded.
    pub argument: *mut *mut Expr,
    /// The model, or NULL.
    pub model: *mut Expr,
    /// What is embedded.
    pub modality: Modality,
}

/// The calls of a target list that are evaluated for each row, and whose argument may be evaluated before its turn.
///
/// # Safety
/// The target list of a finished plan.
pub unsafe fn find(list: *mut List) -> Vec<Call> {
    let mut calls = Vec::new();
    // SAFETY: by the caller's promise.
    unsafe {
        for entry in elements::<TargetEntry>(list) {
            search((*entry).expr, &mut calls);
        }
    }
    calls
}

/// Not into CASE, COALESCE, AND, OR and sub-selects, which may leave a call unevaluated: it would be made for nothing.
unsafe fn search(expression: *mut Expr, calls: &mut Vec<Call>) {
    if expression.is_null() {
        return;
    }
    // SAFETY: casts to the struct that the tag says.
    unsafe {
        let arguments = match tag(expression) {
            NodeTag::T_FuncExpr => {
                let call = expression.cast::<FuncExpr>();
                if let Some(modality) = modality((*call).funcid) {
                    calls.extend(eligible(call, modality));
                    return;
                }
                (*call).args
            }
            NodeTag::T_OpExpr => (*expression.cast::<pg_sys::OpExpr>()).args,
            NodeTag::T_RowExpr => (*expression.cast::<pg_sys::RowExpr>()).args,
            NodeTag::T_ArrayExpr => (*expression.cast::<pg_sys::ArrayExpr>()).elements,
            NodeTag::T_RelabelType => return search((*expression.cast::<pg_sys::RelabelType>()).arg, calls),
            NodeTag::T_CoerceViaIO => return search((*expression.cast::<pg_sys::CoerceViaIO>()).arg, calls),
            NodeTag::T_ArrayCoerceExpr => return search((*expression.cast::<pg_sys::ArrayCoerceExpr>()).arg, calls),
            NodeTag::T_NullTest => return search((*expression.cast::<pg_sys::NullTest>()).arg, calls),
            _ => return,
        };
        for argument in elements::<Expr>(arguments) {
            search(argument, calls);
        }
    }
}

/// The call, if its argument may be evaluated ahead and the model is the same for all rows.
unsafe fn eligible(call: *mut FuncExpr, modality: Modality) -> Option<Call> {
    // SAFETY: a call of one of our functions, which have one or two arguments.
    unsafe {
        let mut arguments = cells::<Expr>((*call).args);
        let argument = arguments.next()?;
        let model = arguments.next().map_or(std::ptr::null_mut(), |model| *model);
        let has_model = model.is_null()
            || match tag(model) {
                NodeTag::T_Const => true,
                NodeTag::T_Param => (*model.cast::<pg_sys::Param>()).paramkind == pg_sys::ParamKind::PARAM_EXTERN,
                _ => false,
            };
        (has_model && is_of_row(*argument)).then_some(Call { argument, model, modality })
    }
}

/// What a function embeds, if it is one of ours: the code that it executes is this library's, whatever its name and
/// schema. A function that somebody gave settings or another owner's privileges is not: it runs within a frame of its own.
fn modality(function: Oid) -> Option<Modality> {
    if u32::from(function) < pg_sys::FirstNormalObjectId {
        return None;
    }
    let row = PgProc::new(function).filter(|row| row.prolang() == C)?;
    let expected = EmbedFunction::named(&row.prosrc()).filter(|_| row.proisstrict() && !row.proretset())?;
    (c_function::address(function) == Some(expected.address)).then_some(expected.modality)
}
