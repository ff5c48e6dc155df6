//! The table that rows are of, and where in it, for WHERE CURRENT OF.

use super::nodes::tag;
use pgrx::pg_sys::{self, ItemPointerData, NodeTag, PlanState, ScanState};

/// The scan that WHERE CURRENT OF would find below the node.
///
/// # Safety
/// An initialised node.
pub unsafe fn source(node: *mut PlanState) -> Option<*mut ScanState> {
    // SAFETY: casts to the struct that the tag says.
    unsafe {
        match tag(node) {
            NodeTag::T_SeqScanState
            | NodeTag::T_SampleScanState
            | NodeTag::T_IndexScanState
            | NodeTag::T_IndexOnlyScanState
            | NodeTag::T_BitmapHeapScanState
            | NodeTag::T_TidScanState => Some(node.cast()),
            #[cfg(not(feature = "pg13"))]
            NodeTag::T_TidRangeScanState => Some(node.cast()),
            NodeTag::T_ResultState | NodeTag::T_LimitState if !(*node).lefttree.is_null() => source((*node).lefttree),
            NodeTag::T_SubqueryScanState => source((*node.cast::<pg_sys::SubqueryScanState>()).subplan),
            _ => None,
        }
    }
}

/// Where the row that a scan has just given is in its table.
///
/// # Safety
/// What [`source`] gave, after a row.
pub unsafe fn place(source: *mut ScanState) -> ItemPointerData {
    // SAFETY: casts to the struct that the tag says.
    unsafe {
        if tag(source) == NodeTag::T_IndexOnlyScanState {
            let scan = (*source.cast::<pg_sys::IndexOnlyScanState>()).ioss_ScanDesc;
            // It was never opened where the row is one that EvalPlanQual has at hand.
            return scan.as_ref().map_or_else(ItemPointerData::default, |scan| scan.xs_heaptid);
        }
        (*(*source).ss_ScanTupleSlot).tts_tid
    }
}
