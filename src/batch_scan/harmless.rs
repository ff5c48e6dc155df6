//! Functions that have no effects and raise no errors.

use super::nodes::{elements, tag};
use pgrx::pg_sys::{self, List, Node, NodeTag, Oid};

/// Functions that PostgreSQL does not call leakproof, for they might be slower for some values or speak of them in errors
/// that no valid value raises. Their OIDs are the same in all versions.
const HARMLESS: &[&[u32]] = &[
    // Comparisons of numeric, and of enums
    &[1718, 1719, 1720, 1721, 1722, 1723],
    &[3508, 3509, 3510, 3511, 3512, 3513],
    // Arrays: =, <>, &&, @>, array_length, cardinality, unnest, generate_subscripts
    &[744, 390, 2747, 2748, 2176, 3179, 2331, 1191, 1192],
    // Texts: ||, their lengths, lower, upper, initcap
    &[1258, 1257, 1317, 1381, 1374, 870, 871, 872],
    // ltrim, rtrim, btrim, translate, left, right, reverse, strpos
    &[875, 876, 881, 882, 884, 885, 878, 3060, 3061, 3062, 868],
    // text(char), text(name), text(boolean)
    &[401, 406, 2971],
    // Lengths of bytea
    &[720, 2010],
    // JSON: ->, ->>, ?, @>
    &[3478, 3214, 4047, 4046],
    // generate_series of integers, without a step, which may be 0
    &[1067, 1069],
    // row_number, rank, dense_rank
    &[3100, 3101, 3102],
];
/// textlike, textnlike, texticlike, texticnlike: a pattern may be malformed.
const LIKE: &[u32] = &[850, 851, 1633, 1634];
/// Division and remainder of smallint, integer and bigint: the divisor may be 0.
const DIVISIONS: &[u32] = &[153, 154, 466, 155, 156, 945, 940, 941, 947];
/// Types whose output function raises nothing and obeys no setting.
pub const PRINTABLE: &[Oid] = &[
    pg_sys::BOOLOID,
    pg_sys::INT2OID,
    pg_sys::INT4OID,
    pg_sys::INT8OID,
    pg_sys::OIDOID,
    pg_sys::NUMERICOID,
    pg_sys::UUIDOID,
    pg_sys::TEXTOID,
    pg_sys::VARCHAROID,
    pg_sys::BPCHAROID,
    pg_sys::NAMEOID,
];

/// Whether a call of a function with these arguments has no effect and raises nothing.
///
/// # Safety
/// A function that a plan calls, and its arguments.
pub unsafe fn is_harmless(function: Oid, arguments: *mut List) -> bool {
    let number = u32::from(function);
    // SAFETY: a function that the plan calls, and its arguments.
    unsafe {
        if LIKE.contains(&number) {
            return constant(arguments, 1).is_some_and(|pattern| !ends_with_backslash(pattern));
        }
        if DIVISIONS.contains(&number) {
            return constant(arguments, 1).is_some_and(|divisor| is_positive(divisor));
        }
        let is_volatile = || pg_sys::func_volatile(function) as u8 == pg_sys::PROVOLATILE_VOLATILE;
        HARMLESS.iter().any(|some| some.contains(&number)) || pg_sys::get_func_leakproof(function) && !is_volatile()
    }
}

/// The argument at this position, if it is a constant and not NULL.
unsafe fn constant(arguments: *mut List, index: usize) -> Option<*mut pg_sys::Const> {
    // SAFETY: casts to the struct that the tag says.
    unsafe {
        let argument = elements::<Node>(arguments).nth(index)?;
        let constant = argument.cast::<pg_sys::Const>();
        (tag(argument) == NodeTag::T_Const && !(*constant).constisnull).then_some(constant)
    }
}

unsafe fn ends_with_backslash(pattern: *mut pg_sys::Const) -> bool {
    // SAFETY: a text.
    unsafe { crate::functions::bytes_of((*pattern).constvalue).last() == Some(&b'\\') }
}

unsafe fn is_positive(number: *mut pg_sys::Const) -> bool {
    // SAFETY: a constant.
    unsafe {
        let value = (*number).constvalue.value();
        match (*number).consttype {
            pg_sys::INT2OID => value as i16 > 0,
            pg_sys::INT4OID => value as i32 > 0,
            pg_sys::INT8OID => value as i64 > 0,
            _ => false,
        }
    }
}
