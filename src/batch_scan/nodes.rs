//! Lists and trees of Postgres's.

use pgrx::pg_sys::{self, Expr, List, Node, NodeTag, Plan, TargetEntry};

/// How a variable names the node that it is of.
#[cfg(any(feature = "pg13", feature = "pg14"))]
pub type Varno = u32;
/// How a variable names the node that it is of.
#[cfg(not(any(feature = "pg13", feature = "pg14")))]
pub type Varno = i32;

/// A node's kind; that of a NULL is an error of the caller's.
///
/// # Safety
/// A node.
pub unsafe fn tag<T>(node: *const T) -> NodeTag {
    // SAFETY: each node begins with its tag.
    unsafe { (*node.cast::<Node>()).type_ }
}

/// The addresses of a list's cells; a NULL list is empty.
///
/// # Safety
/// A list of pointers, which must not grow while the addresses are in use.
pub unsafe fn cells<T>(list: *mut List) -> impl Iterator<Item = *mut *mut T> {
    // SAFETY: NULL or a list, which has `length` cells.
    let (start, length) =
        unsafe { list.as_ref() }.map_or((std::ptr::null_mut(), 0), |list| (list.elements, list.length as usize));
    // SAFETY: within the list.
    (0..length).map(move |index| unsafe { start.add(index) }.cast::<*mut T>())
}

/// The elements of a list; a NULL list is empty.
///
/// # Safety
/// A list of pointers to `T`.
pub unsafe fn elements<T>(list: *mut List) -> impl Iterator<Item = *mut T> {
    // SAFETY: by the caller's promise.
    unsafe { cells::<T>(list) }.map(|cell| unsafe { *cell })
}

/// The integers of a list.
///
/// # Safety
/// A list of integers.
pub unsafe fn integers(list: *mut List) -> Vec<i32> {
    // SAFETY: cells of integers have the size of those of pointers.
    unsafe { cells::<std::ffi::c_void>(list) }.map(|cell| unsafe { *cell.cast::<i32>() }).collect()
}

/// A list of integers, in the current memory context.
pub fn integer_list(values: &[i32]) -> *mut List {
    // SAFETY: appends to a list of integers.
    values.iter().fold(std::ptr::null_mut(), |list, value| unsafe { pg_sys::lappend_int(list, *value) })
}

/// A copy in the current memory context.
///
/// # Safety
/// A node.
pub unsafe fn copy<T>(node: *const T) -> *mut T {
    // SAFETY: by the caller's promise.
    unsafe { pg_sys::copyObjectImpl(node.cast()) }.cast()
}

/// A new node in the current memory context, all zero but for its tag.
///
/// # Safety
/// `T` must be the struct of this tag.
pub unsafe fn make<T>(tag: NodeTag) -> *mut T {
    // SAFETY: palloc0 gives memory for a `T`, which begins with the tag.
    unsafe {
        let node = pg_sys::palloc0(size_of::<T>());
        (*node.cast::<Node>()).type_ = tag;
        node.cast()
    }
}

/// A variable that has the value of an expression of another node's target list.
///
/// # Safety
/// An expression.
pub unsafe fn variable(varno: Varno, column: usize, expression: *const Expr) -> *mut pg_sys::Var {
    // SAFETY: an expression, whose type Postgres finds out.
    unsafe {
        let expression = expression.cast::<Node>();
        pg_sys::makeVar(
            varno,
            column as pg_sys::AttrNumber,
            pg_sys::exprType(expression),
            pg_sys::exprTypmod(expression),
            pg_sys::exprCollation(expression),
            0,
        )
    }
}

/// Appends an expression to a target list.
///
/// # Safety
/// A target list, and an expression that nobody else changes.
pub unsafe fn append_target(list: *mut List, expression: *mut Expr) -> *mut List {
    // SAFETY: by the caller's promise.
    unsafe {
        let number = elements::<TargetEntry>(list).count() + 1;
        let target = pg_sys::makeTargetEntry(expression, number as pg_sys::AttrNumber, std::ptr::null_mut(), false);
        pg_sys::lappend(list, target.cast())
    }
}

/// The addresses of a plan node's children that this library looks into.
///
/// # Safety
/// A plan.
pub unsafe fn children(plan: *mut Plan) -> Vec<*mut *mut Plan> {
    // SAFETY: casts to the struct that the tag says.
    unsafe {
        let mut children: Vec<*mut *mut Plan> = vec![&raw mut (*plan).lefttree, &raw mut (*plan).righttree];
        let list = match tag(plan) {
            NodeTag::T_Append => (*plan.cast::<pg_sys::Append>()).appendplans,
            NodeTag::T_MergeAppend => (*plan.cast::<pg_sys::MergeAppend>()).mergeplans,
            NodeTag::T_BitmapAnd => (*plan.cast::<pg_sys::BitmapAnd>()).bitmapplans,
            NodeTag::T_BitmapOr => (*plan.cast::<pg_sys::BitmapOr>()).bitmapplans,
            NodeTag::T_CustomScan => (*plan.cast::<pg_sys::CustomScan>()).custom_plans,
            #[cfg(feature = "pg13")]
            NodeTag::T_ModifyTable => (*plan.cast::<pg_sys::ModifyTable>()).plans,
            _ => std::ptr::null_mut(),
        };
        children.extend(cells::<Plan>(list));
        if tag(plan) == NodeTag::T_SubqueryScan {
            children.push(&raw mut (*plan.cast::<pg_sys::SubqueryScan>()).subplan);
        }
        children.retain(|child| !(**child).is_null());
        children
    }
}

/// Whether an expression has a node of some kind; NULL has none.
///
/// # Safety
/// An expression.
pub unsafe fn contains(node: *mut Node, is_one: fn(*mut Node) -> bool) -> bool {
    #[pgrx::pg_guard]
    unsafe extern "C-unwind" fn walk(node: *mut Node, is_one: *mut std::ffi::c_void) -> bool {
        if node.is_null() {
            return false;
        }
        // SAFETY: `contains` passes the function's address.
        unsafe {
            let test: fn(*mut Node) -> bool = *is_one.cast::<fn(*mut Node) -> bool>();
            test(node) || pg_sys::expression_tree_walker(node, Some(walk), is_one)
        }
    }
    let mut is_one = is_one;
    // SAFETY: `is_one` lives until the walk is over.
    unsafe { walk(node, (&raw mut is_one).cast()) }
}

/// Whether a node is a value from elsewhere in the plan.
pub fn is_internal(node: *mut Node) -> bool {
    // SAFETY: called with nodes; casts to the struct that the tag says.
    unsafe {
        tag(node) == NodeTag::T_SubPlan
            || tag(node) == NodeTag::T_Param
                && (*node.cast::<pg_sys::Param>()).paramkind != pg_sys::ParamKind::PARAM_EXTERN
    }
}
