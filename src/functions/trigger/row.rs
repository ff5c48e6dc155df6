//! The row that a trigger is fired for.

use super::super::arguments::bytes_of;
use crate::errors::{ArgumentError, Result, TableError};
use crate::memo::Modality;
use crate::{text, vector};
use pgrx::pg_sys::{self, Datum, HeapTuple, Oid, TriggerData, TupleDesc};
use std::ffi::CStr;

unsafe extern "C-unwind" {
    /// utils/datum.h, which pgrx has not: whether two values are the same bytes.
    fn datumIsEqual(value1: Datum, value2: Datum, is_by_value: bool, length: i32) -> bool;
}

/// Whether two values of a column of bytea or text are equal.
pub fn same(before: Datum, now: Datum) -> bool {
    // SAFETY: both are varlena, of the length that they state. One that did not change is the same as it lies there, out
    // of line or compressed; only where the two look different are they unpacked.
    unsafe {
        let stored = |value: Datum| {
            let start = value.cast_mut_ptr::<pg_sys::varlena>();
            std::slice::from_raw_parts(start.cast::<u8>(), pgrx::varsize_any(start))
        };
        stored(before) == stored(now) || bytes_of(before) == bytes_of(now)
    }
}

/// The row that the trigger is fired for.
pub struct Row(*mut TriggerData);

/// A column for embeddings.
#[derive(Clone, Copy)]
pub struct Target {
    /// Counted from 1.
    pub number: i32,
    /// Dimension, where the column has one.
    pub dimension: Option<usize>,
}

impl Row {
    /// The row of a call before it is stored, to be changed; `None` where the function was not called so.
    pub fn before(call: pg_sys::FunctionCallInfo) -> Result<Self> {
        match Self::of(call) {
            None => Err(ArgumentError::NotFiredAsTrigger.into()),
            Some(row) if row.is_fitting(pg_sys::TRIGGER_EVENT_BEFORE) => Ok(row),
            Some(_) => Err(ArgumentError::TriggerEvent.into()),
        }
    }

    /// The row of a call after it was stored.
    pub fn after(call: pg_sys::FunctionCallInfo) -> Result<Self> {
        match Self::of(call) {
            Some(row) if row.is_fitting(pg_sys::TRIGGER_EVENT_AFTER) => Ok(row),
            _ => Err(TableError::QueueTriggerEvent.into()),
        }
    }

    /// The row of a call, whenever it is fired; `None` where the function was not called as a trigger.
    pub fn of(call: pg_sys::FunctionCallInfo) -> Option<Self> {
        // SAFETY: the call at hand; the context of a trigger is a TriggerData, of any other call something else or none.
        unsafe {
            let context = (*call).context;
            let is_trigger = !context.is_null() && (*context).type_ == pg_sys::NodeTag::T_TriggerData;
            is_trigger.then(|| Self(context.cast::<TriggerData>()))
        }
    }

    fn is_fitting(&self, timing: u32) -> bool {
        let event = self.event();
        let operation = event & pg_sys::TRIGGER_EVENT_OPMASK;
        event & pg_sys::TRIGGER_EVENT_TIMINGMASK == timing
            && event & pg_sys::TRIGGER_EVENT_ROW != 0
            && [pg_sys::TRIGGER_EVENT_INSERT, pg_sys::TRIGGER_EVENT_UPDATE].contains(&operation)
    }

    /// The numbers of the columns of the primary key; none where there is no primary key.
    pub fn key(&self) -> Vec<i32> {
        // SAFETY: an open relation; the set is a copy in the current memory context.
        unsafe {
            let which = pg_sys::IndexAttrBitmapKind::INDEX_ATTR_BITMAP_PRIMARY_KEY;
            let set = pg_sys::RelationGetIndexAttrBitmap((*self.0).tg_relation, which);
            let mut member = -1;
            let next = || {
                member = pg_sys::bms_next_member(set, member);
                (member >= 0).then_some(member + pg_sys::FirstLowInvalidHeapAttributeNumber)
            };
            std::iter::from_fn(next).collect()
        }
    }

    /// The name and type of a column.
    pub fn column_of(&self, number: i32) -> (String, Oid) {
        // SAFETY: a description, and the number of one of its columns; the name is palloc'd.
        unsafe {
            let name = pg_sys::SPI_fname(self.description(), number);
            (text::from_c(CStr::from_ptr(name)), pg_sys::SPI_gettypeid(self.description(), number))
        }
    }

    /// Whether the table is a temporary one.
    pub fn is_temporary(&self) -> bool {
        // SAFETY: an open relation.
        unsafe { (*(*(*self.0).tg_relation).rd_rel).relpersistence as u8 == pg_sys::RELPERSISTENCE_TEMP }
    }

    /// The table's owner.
    pub fn owner(&self) -> Oid {
        // SAFETY: an open relation.
        unsafe { (*(*(*self.0).tg_relation).rd_rel).relowner }
    }

    fn event(&self) -> u32 {
        // SAFETY: the trigger's data live as long as the call.
        unsafe { (*self.0).tg_event }
    }

    /// Whether it is an UPDATE, and no INSERT.
    pub fn is_update(&self) -> bool {
        self.event() & pg_sys::TRIGGER_EVENT_OPMASK == pg_sys::TRIGGER_EVENT_UPDATE
    }

    /// Whether an update names the column.
    pub fn is_assigned(&self, number: i32) -> bool {
        // SAFETY: as in `event`; a set of column numbers, which begin below those of system columns, or none.
        unsafe {
            let offset = number - pg_sys::FirstLowInvalidHeapAttributeNumber;
            self.is_update() && pg_sys::bms_is_member(offset, (*self.0).tg_updatedcols)
        }
    }

    /// Whether an update gives a column another value, as it is stored.
    pub fn has_changed(&self, number: i32) -> bool {
        let (mut length, mut is_by_value) = (0, false);
        // SAFETY: two values of a column, of its type.
        unsafe {
            let type_id = pg_sys::SPI_gettypeid(self.description(), number);
            pg_sys::get_typlenbyval(type_id, &raw mut length, &raw mut is_by_value);
            match (self.old_value(number), self.new_value(number)) {
                (Some(before), Some(now)) => !datumIsEqual(before, now, is_by_value, i32::from(length)),
                (before, now) => before.is_some() != now.is_some(),
            }
        }
    }

    pub fn arguments(&self) -> Vec<String> {
        // SAFETY: as in `event`; so many C strings.
        unsafe {
            let trigger = (*self.0).tg_trigger;
            let count = usize::try_from((*trigger).tgnargs).unwrap_or(0);
            (0..count).map(|index| text::from_c(CStr::from_ptr(*(*trigger).tgargs.add(index)))).collect()
        }
    }

    pub fn description(&self) -> TupleDesc {
        // SAFETY: as in `event`.
        unsafe { (*(*self.0).tg_relation).rd_att }
    }

    pub fn table(&self) -> Oid {
        // SAFETY: as in `event`.
        unsafe { (*(*self.0).tg_relation).rd_id }
    }

    /// The number and type of a column.
    fn column(&self, name: &str, may_be_generated: bool) -> Result<(i32, Oid, i32)> {
        let c_name = text::to_c(name);
        // SAFETY: a description and a NUL-terminated name; dropped and system columns give no positive number.
        let number = unsafe { pg_sys::SPI_fnumber(self.description(), c_name.as_ptr()) };
        if number <= 0 {
            let (table, column) = (self.name(), name.to_owned());
            return Err(ArgumentError::NoTriggerColumn { table, column }.into());
        }
        let (mut type_id, mut modifier, mut collation) = (Oid::INVALID, -1, Oid::INVALID);
        // SAFETY: a column of this table.
        unsafe {
            pg_sys::get_atttypetypmodcoll(self.table(), number as i16, &mut type_id, &mut modifier, &mut collation);
            if !may_be_generated && pg_sys::get_attgenerated(self.table(), number as i16) != 0 {
                return Err(ArgumentError::GeneratedColumn { column: name.to_owned() }.into());
            }
        }
        Ok((number, type_id, modifier))
    }

    /// The column of images or texts. Where it is generated, it has its value only after the row is stored.
    pub fn source(&self, name: &str, may_be_generated: bool) -> Result<(i32, Modality)> {
        let (number, type_id, _) = self.column(name, may_be_generated)?;
        // SAFETY: a type that exists.
        let modality = match unsafe { pg_sys::getBaseType(type_id) } {
            pg_sys::BYTEAOID => Modality::Image,
            base if text::is_type(base) => Modality::Text,
            _ => {
                let (column, found) = (name.to_owned(), type_name(type_id));
                return Err(ArgumentError::NotASourceColumn { column, found }.into());
            }
        };
        Ok((number, modality))
    }

    /// The column of embeddings, of type `vector` or, where that is enough, `halfvec`.
    pub fn target(&self, name: &str, may_be_half: bool) -> Result<Target> {
        let (number, type_id, modifier) = self.column(name, false)?;
        // Not by its name: anybody may call a type vector, and would be shown memory in place of numbers.
        let is_vector = match vector::kind_of(type_id) {
            Some(vector::Kind::Single) => true,
            Some(vector::Kind::Half) => may_be_half,
            None => false,
        };
        if !is_vector {
            return Err(ArgumentError::NotAVectorColumn { column: name.to_owned(), found: type_name(type_id) }.into());
        }
        Ok(Target { number, dimension: usize::try_from(modifier).ok().filter(|dimension| *dimension > 0) })
    }

    pub fn name(&self) -> String {
        // SAFETY: the relation is open.
        text::from_c(unsafe { CStr::from_ptr((*(*(*self.0).tg_relation).rd_rel).relname.data.as_ptr()) })
    }

    /// The row as it would be stored.
    pub fn new_tuple(&self) -> HeapTuple {
        // SAFETY: as in `event`.
        unsafe { if self.is_update() { (*self.0).tg_newtuple } else { (*self.0).tg_trigtuple } }
    }

    fn value(&self, tuple: HeapTuple, number: i32) -> Option<Datum> {
        let mut is_null = false;
        // SAFETY: a row of the table, and the number of one of its columns.
        let value = unsafe { pg_sys::SPI_getbinval(tuple, self.description(), number, &mut is_null) };
        (!is_null).then_some(value)
    }

    pub fn new_value(&self, number: i32) -> Option<Datum> {
        self.value(self.new_tuple(), number)
    }

    /// What an update finds.
    pub fn old_value(&self, number: i32) -> Option<Datum> {
        // SAFETY: as in `event`.
        self.is_update().then(|| self.value(unsafe { (*self.0).tg_trigtuple }, number)).flatten()
    }

    pub fn unchanged(&self) -> Datum {
        Datum::from(self.new_tuple())
    }

    /// The row with another embedding.
    pub fn with(&self, target: Target, embedding: Option<Datum>) -> Datum {
        let (mut number, mut is_null) = (target.number, embedding.is_none());
        let mut value = embedding.unwrap_or(Datum::null());
        // SAFETY: one column of the row's description, with a value of its type.
        unsafe {
            let (tuple, description) = (self.new_tuple(), self.description());
            Datum::from(pg_sys::heap_modify_tuple_by_cols(tuple, description, 1, &mut number, &mut value, &mut is_null))
        }
    }
}

/// A type's name as SQL spells it.
pub fn type_name(type_id: Oid) -> String {
    // SAFETY: a palloc'd, NUL-terminated name.
    text::from_c(unsafe { CStr::from_ptr(pg_sys::format_type_be(type_id)) })
}
