//! What differs between PostgreSQL's majors, and nothing else does. Each branch names the old majors, so that one that is
//! newer than all of these takes the newest.

use crate::list::elements;
use pgrx::pg_sys::{self, CustomScan, NodeTag, Oid};
use std::ffi::CStr;

/// Settings of timeouts that came after PostgreSQL 13.
pub const NEW_TIMEOUTS: &[&CStr] = {
    #[cfg(any(feature = "pg13", feature = "pg14", feature = "pg15", feature = "pg16"))]
    {
        &[]
    }
    #[cfg(not(any(feature = "pg13", feature = "pg14", feature = "pg15", feature = "pg16")))]
    {
        &[c"transaction_timeout"]
    }
};

/// The address of a function in a library, which is loaded if it was not; 0 where it has none of this name.
pub fn function_in(library: &CStr, name: &CStr) -> usize {
    // SAFETY: NUL-terminated names. A library that is loaded already stays as it is.
    let found = unsafe { pg_sys::load_external_function(library.as_ptr(), name.as_ptr(), false, std::ptr::null_mut()) };
    #[cfg(feature = "pg13")]
    {
        found.map_or(0, |function| function as usize)
    }
    #[cfg(not(feature = "pg13"))]
    {
        found as usize
    }
}

/// Whether a plan node is one that PostgreSQL 13 does not have, and caches the rows of its child.
pub fn is_memoize(tag: NodeTag) -> bool {
    #[cfg(feature = "pg13")]
    {
        let _ = tag;
        false
    }
    #[cfg(not(feature = "pg13"))]
    {
        tag == NodeTag::T_Memoize
    }
}

/// Whether a plan node is one that PostgreSQL 13 does not have, and scans a range of places in a table.
pub fn is_tid_range_scan(tag: NodeTag) -> bool {
    #[cfg(feature = "pg13")]
    {
        let _ = tag;
        false
    }
    #[cfg(not(feature = "pg13"))]
    {
        tag == NodeTag::T_TidRangeScan
    }
}

/// The plans below a `ModifyTable`, where they are not its left tree.
///
/// # Safety
/// A plan node of this kind.
pub unsafe fn plans_to_modify(plan: *mut pg_sys::Plan) -> *mut pg_sys::List {
    #[cfg(feature = "pg13")]
    {
        // SAFETY: by the caller's promise.
        unsafe { (*plan.cast::<pg_sys::ModifyTable>()).plans }
    }
    #[cfg(not(feature = "pg13"))]
    {
        let _ = plan;
        std::ptr::null_mut()
    }
}

/// Says that a custom scan evaluates its target list itself. Before PostgreSQL 15 each one had to.
///
/// # Safety
/// A plan node.
pub unsafe fn set_projecting(scan: *mut CustomScan) {
    #[cfg(any(feature = "pg13", feature = "pg14"))]
    let _ = scan;
    #[cfg(not(any(feature = "pg13", feature = "pg14")))]
    // SAFETY: by the caller's promise.
    unsafe {
        (*scan).flags |= pg_sys::CUSTOMPATH_SUPPORT_PROJECTION;
    }
}

/// ExecCopySlotMinimalTuple, which is an inline function of C.
///
/// # Safety
/// A slot with a row.
pub unsafe fn copy_minimal_tuple(slot: *mut pg_sys::TupleTableSlot) -> pg_sys::MinimalTuple {
    // SAFETY: each kind of slot has this operation.
    unsafe {
        let operation = (*(*slot).tts_ops).copy_minimal_tuple.expect("of every kind of slot");
        #[cfg(any(feature = "pg13", feature = "pg14", feature = "pg15", feature = "pg16", feature = "pg17"))]
        return operation(slot);
        #[cfg(not(any(feature = "pg13", feature = "pg14", feature = "pg15", feature = "pg16", feature = "pg17")))]
        operation(slot, 0)
    }
}

/// Installs a signal handler of a background worker.
///
/// # Safety
/// A handler that does only what is safe in one.
pub unsafe fn handle_signal(signal: i32, handler: unsafe extern "C-unwind" fn(i32)) {
    // SAFETY: by the caller's promise.
    unsafe {
        #[cfg(any(feature = "pg13", feature = "pg14", feature = "pg15", feature = "pg16", feature = "pg17"))]
        pg_sys::pqsignal(signal, Some(handler));
        #[cfg(not(any(feature = "pg13", feature = "pg14", feature = "pg15", feature = "pg16", feature = "pg17")))]
        pg_sys::pqsignal_be(signal, Some(handler));
    }
}

/// Whether PostgreSQL sorts all settings again whenever one is defined.
pub const SORTS_SETTINGS: bool = cfg!(any(feature = "pg13", feature = "pg14", feature = "pg15"));

/// Has settings of this prefix refused that nobody declares. Before PostgreSQL 15, those are warned of.
pub fn reserve_prefix(prefix: &CStr) {
    // SAFETY: copies a NUL-terminated string.
    unsafe {
        #[cfg(any(feature = "pg13", feature = "pg14"))]
        pg_sys::EmitWarningsOnPlaceholders(prefix.as_ptr());
        #[cfg(not(any(feature = "pg13", feature = "pg14")))]
        pg_sys::MarkGUCPrefixReserved(prefix.as_ptr());
    }
}

/// The number of a wait event of ours. Before PostgreSQL 17, all extensions share one.
pub fn wait_event(name: &'static CStr) -> u32 {
    #[cfg(any(feature = "pg13", feature = "pg14", feature = "pg15", feature = "pg16"))]
    {
        let _ = name;
        pg_sys::PG_WAIT_EXTENSION
    }
    #[cfg(not(any(feature = "pg13", feature = "pg14", feature = "pg15", feature = "pg16")))]
    {
        use std::cell::RefCell;
        use std::collections::HashMap;

        thread_local! {
            static KNOWN: RefCell<HashMap<&'static CStr, u32>> = RefCell::default();
        }
        if let Some(number) = KNOWN.with_borrow(|known| known.get(name).copied()) {
            return number;
        }
        // SAFETY: a NUL-terminated name; the same name gets the same number in every process.
        let number = unsafe { pg_sys::WaitEventExtensionNew(name.as_ptr()) };
        KNOWN.with_borrow_mut(|known| known.insert(name, number));
        number
    }
}

/// Takes the need of privileges on some relations from a plan.
///
/// # Safety
/// A finished plan.
pub unsafe fn waive_privileges(planned: *mut pg_sys::PlannedStmt, relations: &[Oid]) {
    // SAFETY: by the caller's promise; its lists are of these structs.
    unsafe {
        #[cfg(any(feature = "pg13", feature = "pg14", feature = "pg15"))]
        for entry in elements::<pg_sys::RangeTblEntry>((*planned).rtable) {
            if (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION && relations.contains(&(*entry).relid) {
                (*entry).requiredPerms = 0;
            }
        }
        #[cfg(not(any(feature = "pg13", feature = "pg14", feature = "pg15")))]
        for entry in elements::<pg_sys::RTEPermissionInfo>((*planned).permInfos) {
            if relations.contains(&(*entry).relid) {
                (*entry).requiredPerms = 0;
            }
        }
    }
}

/// Defines a hook for the end of parse analysis, which calls the one before it and then a function of state and query.
macro_rules! post_parse_analyze_hook {
    ($name:ident, $next:ident, $then:ident) => {
        #[cfg(feature = "pg13")]
        #[pgrx::pg_guard]
        unsafe extern "C-unwind" fn $name(state: *mut pg_sys::ParseState, query: *mut pg_sys::Query) {
            // SAFETY: the analysis passes its state and the query that came of it.
            unsafe {
                if let Some(Some(next)) = $next.get() {
                    next(state, query);
                }
                $then(state, query);
            }
        }
        #[cfg(not(feature = "pg13"))]
        #[pgrx::pg_guard]
        unsafe extern "C-unwind" fn $name(
            state: *mut pg_sys::ParseState,
            query: *mut pg_sys::Query,
            jumble: *mut pg_sys::JumbleState,
        ) {
            // SAFETY: the analysis passes its state and the query that came of it.
            unsafe {
                if let Some(Some(next)) = $next.get() {
                    next(state, query, jumble);
                }
                $then(state, query);
            }
        }
    };
}
pub(crate) use post_parse_analyze_hook;

/// Converts a text to UTF-8, or finds that it cannot be done. PostgreSQL 13 cannot convert without raising.
pub fn to_utf8_without_error(bytes: &[u8], from: i32) -> Option<Vec<u8>> {
    #[cfg(feature = "pg13")]
    {
        let _ = (bytes, from);
        None
    }
    // SAFETY: a function that exists; the buffer is as large as any conversion needs, with room for the NUL behind it.
    #[cfg(not(feature = "pg13"))]
    unsafe {
        let utf8 = pg_sys::pg_enc::PG_UTF8 as i32;
        let function = pg_sys::FindDefaultConversionProc(from, utf8);
        if function == pg_sys::InvalidOid {
            return None;
        }
        let mut buffer = vec![0u8; bytes.len() * pg_sys::MAX_CONVERSION_GROWTH as usize + 1];
        let (source, length) = (bytes.as_ptr().cast_mut(), bytes.len() as i32);
        let (target, room) = (buffer.as_mut_ptr(), i32::try_from(buffer.len()).ok()?);
        let read = pg_sys::pg_do_encoding_conversion_buf(function, from, utf8, source, length, target, room, true);
        buffer.truncate(buffer.iter().position(|byte| *byte == 0)?);
        (read == length && str::from_utf8(&buffer).is_ok()).then_some(buffer)
    }
}
