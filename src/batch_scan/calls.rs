//! The calls that a batch can answer.

use super::ahead::Ahead;
use super::nodes::{cells, elements, tag};
use crate::functions::EmbedFunction;
use crate::memo::Modality;
use pgrx::pg_catalog::pg_proc::PgProc;
use pgrx::pg_sys::{self, Expr, FuncExpr, List, NodeTag, Oid, TargetEntry};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// The OID of the language, of which pgrx has no name.
const C: Oid = Oid::from_u32(13);

thread_local! {
    /// What is known of functions, until one of them changes.
    static KNOWN: RefCell<HashMap<Oid, Option<Modality>>> = RefCell::default();
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// What a function embeds, if it is one of ours: the code that it executes is this library's, whatever its name and
/// schema. A function that somebody gave settings or another owner's privileges is not: it runs within a frame of its own.
fn modality(function: Oid) -> Option<Modality> {
    if u32::from(function) < pg_sys::FirstNormalObjectId {
        return None;
    }
    if let Some(known) = KNOWN.with_borrow(|known| known.get(&function).copied()) {
        return known;
    }
    watch();
    let found = look_up(function);
    KNOWN.with_borrow_mut(|known| known.insert(function, found));
    found
}

fn look_up(function: Oid) -> Option<Modality> {
    let row = PgProc::new(function)?;
    let is_plain = row.proisstrict() && !row.proretset() && row.prolang() == C;
    let expected = EmbedFunction::named(&row.prosrc()).filter(|_| is_plain)?;
    let mut info = pg_sys::FmgrInfo::default();
    // SAFETY: a function that exists, and a struct for it to be described in.
    unsafe { pg_sys::fmgr_info(function, &raw mut info) };
    info.fn_addr.is_some_and(|address| address as usize == expected.address).then_some(expected.modality)
}

/// Forgets everything where a function changes.
fn watch() {
    #[pgrx::pg_guard]
    unsafe extern "C-unwind" fn forget(_argument: pg_sys::Datum, _cache: i32, _hash: u32) {
        // While `look_up` is at work, it is what is being looked up that is not remembered yet.
        KNOWN.with(|known| known.try_borrow_mut().map(|mut known| known.clear()).ok());
    }
    if !WATCHED.replace(true) {
        // SAFETY: registers a callback for the life of the process.
        unsafe {
            pg_sys::CacheRegisterSyscacheCallback(
                pg_sys::SysCacheIdentifier::PROCOID as _,
                Some(forget),
                pg_sys::Datum::null(),
            );
        }
    }
}

/// A call within a target list.
#[derive(Clone, Copy)]
pub struct Call {
    /// Where the target list points to it.
    pub cell: *mut *mut Expr,
    /// What is embedded.
    pub modality: Modality,
}

impl Call {
    /// The call.
    ///
    /// # Safety
    /// While the cell points to it.
    pub unsafe fn expression(&self) -> *mut FuncExpr {
        // SAFETY: `find` looked at its tag.
        unsafe { (*self.cell).cast() }
    }

    /// Where the call points to what is embedded.
    ///
    /// # Safety
    /// As [`Self::expression`].
    pub unsafe fn argument(&self) -> *mut *mut Expr {
        // SAFETY: as there; each has an argument.
        unsafe { cells((*self.expression()).args).next().expect("an argument") }
    }
}

/// The calls of a target list that are evaluated for each row, and whose argument may be evaluated before its turn.
///
/// # Safety
/// The target list of a finished plan.
pub unsafe fn find(list: *mut List, ahead: &Ahead) -> Vec<Call> {
    let mut calls = Vec::new();
    // SAFETY: by the caller's promise.
    unsafe {
        for entry in elements::<TargetEntry>(list) {
            search(&raw mut (*entry).expr, ahead, &mut calls);
        }
    }
    calls
}

/// Not into CASE, COALESCE, AND, OR and sub-selects, which may leave a call unevaluated: it would be made for nothing.
unsafe fn search(cell: *mut *mut Expr, ahead: &Ahead, calls: &mut Vec<Call>) {
    // SAFETY: casts to the struct that the tag says.
    unsafe {
        let expression = *cell;
        if expression.is_null() {
            return;
        }
        let arguments = match tag(expression) {
            NodeTag::T_FuncExpr => {
                let call = expression.cast::<FuncExpr>();
                if let Some(modality) = modality((*call).funcid) {
                    if is_eligible(call, ahead) {
                        calls.push(Call { cell, modality });
                    }
                    return;
                }
                (*call).args
            }
            NodeTag::T_OpExpr => (*expression.cast::<pg_sys::OpExpr>()).args,
            NodeTag::T_RowExpr => (*expression.cast::<pg_sys::RowExpr>()).args,
            NodeTag::T_ArrayExpr => (*expression.cast::<pg_sys::ArrayExpr>()).elements,
            NodeTag::T_RelabelType => {
                return search(&raw mut (*expression.cast::<pg_sys::RelabelType>()).arg, ahead, calls);
            }
            NodeTag::T_CoerceViaIO => {
                return search(&raw mut (*expression.cast::<pg_sys::CoerceViaIO>()).arg, ahead, calls);
            }
            NodeTag::T_ArrayCoerceExpr => {
                return search(&raw mut (*expression.cast::<pg_sys::ArrayCoerceExpr>()).arg, ahead, calls);
            }
            NodeTag::T_NullTest => return search(&raw mut (*expression.cast::<pg_sys::NullTest>()).arg, ahead, calls),
            _ => return,
        };
        for cell in cells::<Expr>(arguments) {
            search(cell, ahead, calls);
        }
    }
}

/// Whether the argument depends on the row and may be evaluated ahead, and the model is the same for all rows.
unsafe fn is_eligible(call: *mut FuncExpr, ahead: &Ahead) -> bool {
    // SAFETY: a call of one of our functions, which have one or two arguments.
    unsafe {
        let mut arguments = elements::<Expr>((*call).args);
        let Some(item) = arguments.next() else { return false };
        let has_model = arguments.next().is_none_or(|model| match tag(model) {
            NodeTag::T_Const => true,
            NodeTag::T_Param => (*model.cast::<pg_sys::Param>()).paramkind == pg_sys::ParamKind::PARAM_EXTERN,
            _ => false,
        });
        has_model && ahead.item(item)
    }
}
