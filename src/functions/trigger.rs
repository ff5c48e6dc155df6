//! `clip_embed_trigger`: keeps an embedding in step with its picture or text, in the manner of `tsvector_update_trigger`.

use super::arguments::{bytes_of, text_of};
use super::sql_function;
use crate::errors::{Misuse, Result};
use crate::memo::Modality;
use crate::{embedding, settings, text, vector};
use pgrx::pg_sys::{self, Datum, HeapTuple, Oid, TriggerData, TupleDesc};
use std::ffi::CStr;
use std::rc::Rc;

sql_function!(clip_embed_trigger, pg_finfo_clip_embed_trigger, |call| run(Row::of(call.0)?));

/// What the trigger was created with: source column, embedding column, and options.
struct Options {
    source: String,
    embedding: String,
    model: String,
    /// A picture that cannot be embedded gives NULL and a WARNING.
    excuse: bool,
}

impl Options {
    /// `'image', 'embedding' [, 'owner/name'] [, 'on_error=null']`
    fn parse(mut arguments: Vec<String>) -> Result<Self> {
        let is_option = |argument: &String| argument.starts_with("on_error=");
        let excuse = match arguments.iter().position(is_option).map(|index| arguments.remove(index)).as_deref() {
            None | Some("on_error=error") => false,
            Some("on_error=null") => true,
            Some(other) => return Err(Misuse::TriggerOption { option: other.to_owned() }.into()),
        };
        let mut arguments = arguments.into_iter();
        match (arguments.next(), arguments.next(), arguments.next(), arguments.next()) {
            (Some(source), Some(embedding), model, None) => {
                Ok(Self { source, embedding, model: model.unwrap_or_else(settings::model), excuse })
            }
            _ => Err(Misuse::TriggerArguments.into()),
        }
    }
}

fn run(row: Row) -> Result<Datum> {
    let options = Options::parse(row.arguments())?;
    let (source, modality) = row.source(&options.source)?;
    let target = row.target(&options.embedding)?;
    let Some(now) = row.new_value(source) else {
        return Ok(row.with(target, None));
    };
    // Where there is no embedding, `UPDATE … SET image = image` asks for one.
    let is_asked_for = row.new_value(target.number).is_none() && row.is_assigned(source);
    if !is_asked_for && row.old_value(source).is_some_and(|before| same(before, now)) {
        return Ok(row.unchanged());
    }
    match embed(&options, modality, now) {
        Ok(vector) => {
            target.check_dimension(&options, vector.len())?;
            Ok(row.with(target, Some(vector::to_datum(&vector)?)))
        }
        Err(error) if options.excuse && error.is_the_pictures_fault() => {
            error.warn();
            Ok(row.with(target, None))
        }
        Err(error) => Err(error),
    }
}

fn embed(options: &Options, modality: Modality, value: Datum) -> Result<Rc<[f32]>> {
    // SAFETY: `Row::source` found the column to be of the type that is read.
    let input = unsafe {
        match modality {
            Modality::Image => bytes_of(value),
            Modality::Text => text_of(value).into_bytes(),
        }
    };
    embedding::of_one(&options.model, modality, input)
}

/// Whether two values of a column of bytea or text are equal.
fn same(before: Datum, now: Datum) -> bool {
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
struct Row(*mut TriggerData);

/// A column for embeddings.
#[derive(Clone, Copy)]
struct Target {
    number: i32,
    /// Dimension, where the column has one.
    dimension: Option<usize>,
}

impl Target {
    fn check_dimension(self, options: &Options, found: usize) -> Result<()> {
        let (model, column) = (options.model.clone(), options.embedding.clone());
        match self.dimension {
            Some(expected) if expected != found => {
                Err(Misuse::ColumnDimension { model, found, column, expected }.into())
            }
            _ => Ok(()),
        }
    }
}

impl Row {
    fn of(call: pg_sys::FunctionCallInfo) -> Result<Self> {
        // SAFETY: the call at hand; the context of a trigger is a TriggerData, of any other call something else or none.
        let data = unsafe {
            let context = (*call).context;
            if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
                return Err(Misuse::NotFiredAsTrigger.into());
            }
            context.cast::<TriggerData>()
        };
        let row = Self(data);
        let event = row.event();
        let is_before = event & pg_sys::TRIGGER_EVENT_TIMINGMASK == pg_sys::TRIGGER_EVENT_BEFORE;
        let is_for_row = event & pg_sys::TRIGGER_EVENT_ROW != 0;
        let operation = event & pg_sys::TRIGGER_EVENT_OPMASK;
        let is_fitting = [pg_sys::TRIGGER_EVENT_INSERT, pg_sys::TRIGGER_EVENT_UPDATE].contains(&operation);
        if is_before && is_for_row && is_fitting { Ok(row) } else { Err(Misuse::TriggerEvent.into()) }
    }

    fn event(&self) -> u32 {
        // SAFETY: the trigger's data live as long as the call.
        unsafe { (*self.0).tg_event }
    }

    fn is_update(&self) -> bool {
        self.event() & pg_sys::TRIGGER_EVENT_OPMASK == pg_sys::TRIGGER_EVENT_UPDATE
    }

    /// Whether an update names the column.
    fn is_assigned(&self, number: i32) -> bool {
        // SAFETY: as in `event`; a set of column numbers, which begin below those of system columns, or none.
        unsafe {
            let offset = number - pg_sys::FirstLowInvalidHeapAttributeNumber;
            self.is_update() && pg_sys::bms_is_member(offset, (*self.0).tg_updatedcols)
        }
    }

    fn arguments(&self) -> Vec<String> {
        // SAFETY: as in `event`; so many C strings.
        unsafe {
            let trigger = (*self.0).tg_trigger;
            let count = usize::try_from((*trigger).tgnargs).unwrap_or(0);
            (0..count).map(|index| text::from_c(CStr::from_ptr(*(*trigger).tgargs.add(index)))).collect()
        }
    }

    fn description(&self) -> TupleDesc {
        // SAFETY: as in `event`.
        unsafe { (*(*self.0).tg_relation).rd_att }
    }

    fn table(&self) -> Oid {
        // SAFETY: as in `event`.
        unsafe { (*(*self.0).tg_relation).rd_id }
    }

    /// The number and type of a column that holds what it is given.
    fn column(&self, name: &str) -> Result<(i32, Oid, i32)> {
        let c_name = text::to_c(name);
        // SAFETY: a description and a NUL-terminated name; dropped and system columns give no positive number.
        let number = unsafe { pg_sys::SPI_fnumber(self.description(), c_name.as_ptr()) };
        if number <= 0 {
            let (table, column) = (self.name(), name.to_owned());
            return Err(Misuse::NoSuchColumn { table, column, columns: None }.into());
        }
        let (mut type_id, mut modifier, mut collation) = (Oid::INVALID, -1, Oid::INVALID);
        // SAFETY: a column of this table.
        unsafe {
            pg_sys::get_atttypetypmodcoll(self.table(), number as i16, &mut type_id, &mut modifier, &mut collation);
            if pg_sys::get_attgenerated(self.table(), number as i16) != 0 {
                return Err(Misuse::GeneratedColumn { column: name.to_owned() }.into());
            }
        }
        Ok((number, type_id, modifier))
    }

    fn source(&self, name: &str) -> Result<(i32, Modality)> {
        let (number, type_id, _) = self.column(name)?;
        // SAFETY: a type that exists.
        let modality = match unsafe { pg_sys::getBaseType(type_id) } {
            pg_sys::BYTEAOID => Modality::Image,
            pg_sys::TEXTOID | pg_sys::VARCHAROID => Modality::Text,
            _ => {
                let (column, found) = (name.to_owned(), type_name(type_id));
                return Err(Misuse::NotASourceColumn { column, found }.into());
            }
        };
        Ok((number, modality))
    }

    fn target(&self, name: &str) -> Result<Target> {
        let (number, type_id, modifier) = self.column(name)?;
        // Not by its name alone: anybody may call a type vector, and would be shown memory in place of numbers.
        // SAFETY: the OID of a type, and NUL-terminated names.
        let is_vector = unsafe {
            let extension = pg_sys::get_extension_oid(c"vector".as_ptr(), true);
            extension != Oid::INVALID
                && pg_sys::getExtensionOfObject(pg_sys::TypeRelationId, type_id) == extension
                && type_name(type_id).rsplit('.').next() == Some("vector")
        };
        if !is_vector {
            return Err(Misuse::NotAVectorColumn { column: name.to_owned(), found: type_name(type_id) }.into());
        }
        Ok(Target { number, dimension: usize::try_from(modifier).ok().filter(|dimension| *dimension > 0) })
    }

    fn name(&self) -> String {
        // SAFETY: the relation is open.
        text::from_c(unsafe { CStr::from_ptr((*(*(*self.0).tg_relation).rd_rel).relname.data.as_ptr()) })
    }

    /// The row as it would be stored.
    fn new_tuple(&self) -> HeapTuple {
        // SAFETY: as in `event`.
        unsafe { if self.is_update() { (*self.0).tg_newtuple } else { (*self.0).tg_trigtuple } }
    }

    fn value(&self, tuple: HeapTuple, number: i32) -> Option<Datum> {
        let mut is_null = false;
        // SAFETY: a row of the table, and the number of one of its columns.
        let value = unsafe { pg_sys::SPI_getbinval(tuple, self.description(), number, &mut is_null) };
        (!is_null).then_some(value)
    }

    fn new_value(&self, number: i32) -> Option<Datum> {
        self.value(self.new_tuple(), number)
    }

    /// What an update finds.
    fn old_value(&self, number: i32) -> Option<Datum> {
        // SAFETY: as in `event`.
        self.is_update().then(|| self.value(unsafe { (*self.0).tg_trigtuple }, number)).flatten()
    }

    fn unchanged(&self) -> Datum {
        Datum::from(self.new_tuple())
    }

    /// The row with another embedding.
    fn with(&self, target: Target, embedding: Option<Datum>) -> Datum {
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
fn type_name(type_id: Oid) -> String {
    // SAFETY: a palloc'd, NUL-terminated name.
    text::from_c(unsafe { CStr::from_ptr(pg_sys::format_type_be(type_id)) })
}
