//! Functions that have no effects and raise no errors.

use crate::batch_scan::nodes::{elements, tag};
use pgrx::pg_sys::{self, List, Node, NodeTag, Oid};

/// Functions that PostgreSQL does not call leakproof, for they might be slower for some values or speak of them in errors
/// that no valid value raises. Their OIDs are the same in all versions.
const HARMLESS: &[&[u32]] = &[
    // Comparisons of numeric, and of enums
    &[1718, 1719, 1720, 1721, 1722, 1723],
    &[3508, 3509, 3510, 3511, 3512, 3513],
    // Arrays: array_length, cardinality, unnest, generate_subscripts
    &[2176, 3179, 2331, 1191, 1192],
    // Texts: ||, their lengths, lower, upper, initcap
    &[1258, 1257, 1317, 1381, 1374, 870, 871, 872],
    // ltrim, rtrim, btrim, translate, left, right, reverse
    &[875, 876, 881, 882, 884, 885, 878, 3060, 3061, 3062],
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
/// textlike, textnlike, texticlike, texticnlike: a pattern may be malformed, and a collation unfit.
const LIKE: &[u32] = &[850, 851, 1633, 1634];
/// strpos, starts_with: a collation may be unfit, also for the second, which PostgreSQL calls leakproof.
const WITHIN: &[u32] = &[868, 3696];
/// =, <>, &&, @> of arrays, which call the `=` of their elements' type.
const OF_ELEMENTS: &[u32] = &[744, 390, 2747, 2748];
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

/// Whether a call of a function with these arguments and this collation, if any, has no effect and raises nothing.
///
/// # Safety
/// A function that a plan calls, and its arguments.
pub unsafe fn is_harmless(function: Oid, arguments: *mut List, collation: Oid) -> bool {
    let number = u32::from(function);
    // SAFETY: a function that the plan calls, and its arguments.
    unsafe {
        // Of arguments that have one each, which contradict each other.
        if collation == Oid::INVALID
            && elements::<Node>(arguments).any(|argument| pg_sys::exprCollation(argument) != Oid::INVALID)
        {
            return false;
        }
        if LIKE.contains(&number) {
            return pg_sys::get_collation_isdeterministic(collation)
                && constant(arguments, 1).is_some_and(|pattern| is_well_formed(pattern));
        }
        if WITHIN.contains(&number) {
            return pg_sys::get_collation_isdeterministic(collation);
        }
        if DIVISIONS.contains(&number) {
            return constant(arguments, 1).is_some_and(|divisor| is_positive(divisor));
        }
        if OF_ELEMENTS.contains(&number) {
            return elements::<Node>(arguments).all(|array| has_harmless_elements(array));
        }
        is_always_harmless(function)
    }
}

/// Whether that is so whatever its arguments are, as long as their collation is known.
///
/// # Safety
/// A function that there is.
pub unsafe fn is_always_harmless(function: Oid) -> bool {
    // SAFETY: a function that there is.
    unsafe {
        let is_volatile = || pg_sys::func_volatile(function) as u8 == pg_sys::PROVOLATILE_VOLATILE;
        HARMLESS.iter().any(|some| some.contains(&u32::from(function)))
            || pg_sys::get_func_leakproof(function) && !is_volatile()
    }
}

/// Whether the elements of an array are of a type whose `=` is harmless.
unsafe fn has_harmless_elements(array: *mut Node) -> bool {
    // SAFETY: an expression; the cache has an entry for each type.
    unsafe {
        let element = pg_sys::get_base_element_type(pg_sys::exprType(array));
        if element == Oid::INVALID {
            return false;
        }
        let equals = (*pg_sys::lookup_type_cache(element, pg_sys::TYPECACHE_EQ_OPR as i32)).eq_opr;
        equals != Oid::INVALID && is_always_harmless(pg_sys::get_opcode(equals))
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

/// Of one pattern. An array of them, for LIKE ANY, is not looked into.
unsafe fn is_well_formed(pattern: *mut pg_sys::Const) -> bool {
    // SAFETY: a text, where the type says so.
    unsafe {
        (*pattern).consttype == pg_sys::TEXTOID
            && crate::functions::bytes_of((*pattern).constvalue).last() != Some(&b'\\')
    }
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
