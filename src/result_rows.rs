//! The rows of a function that returns a table: put into a tuplestore, which goes to disk beyond work_mem.

use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, Datum, FunctionCallInfo};

/// The result of a call, row by row.
pub struct Rows {
    store: *mut pg_sys::Tuplestorestate,
    description: pg_sys::TupleDesc,
    /// Where a row's data are made; emptied after each row.
    scratch: PgMemoryContexts,
}

impl Rows {
    /// Declares the call's result to be a table of rows, none so far.
    ///
    /// # Panics
    /// Where the function is not declared to return one.
    pub fn begin(call: FunctionCallInfo) -> Self {
        // SAFETY: the executor passes a ReturnSetInfo to a function that is declared to return a set, and both the
        // store and the description have to live in the context of the query.
        unsafe {
            let result = (*call).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            assert!(!result.is_null(), "declared to return a set");
            let materialize = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
            assert!((*result).allowedModes & materialize as i32 != 0, "the executor takes a tuplestore");
            let random = (*result).allowedModes & pg_sys::SetFunctionReturnMode::SFRM_Materialize_Random as i32 != 0;
            let old = pg_sys::MemoryContextSwitchTo((*(*result).econtext).ecxt_per_query_memory);
            // The executor's own description: asking what the function is declared with takes longer than a small result.
            assert!(!(*result).expectedDesc.is_null(), "the executor says what it expects");
            let description = pg_sys::CreateTupleDescCopy((*result).expectedDesc);
            let store = pg_sys::tuplestore_begin_heap(random, false, pg_sys::work_mem);
            (*result).returnMode = materialize;
            (*result).setResult = store;
            (*result).setDesc = description;
            pg_sys::MemoryContextSwitchTo(old);
            Self { store, description, scratch: PgMemoryContexts::new("clip_search row") }
        }
    }

    /// Adds a row; `None` is NULL. Data made by `row` live in memory that is given back when the row has been added.
    ///
    /// The SQL of an earlier release declares fewer columns; what was added since stands behind them.
    pub fn push<R: AsRef<[Option<Datum>]>>(&mut self, row: impl FnOnce() -> R) {
        let (store, description) = (self.store, self.description);
        // SAFETY: the store and its description are those of `begin`, with as many columns as the SQL declaration
        // has; the store copies the data.
        unsafe {
            self.scratch.switch_to(|_| {
                let row = row();
                let row = row.as_ref();
                assert!((*description).natts as usize <= row.len(), "as many columns as are declared");
                let mut values: Vec<Datum> = row.iter().map(|value| value.unwrap_or(Datum::null())).collect();
                let mut nulls: Vec<bool> = row.iter().map(Option::is_none).collect();
                pg_sys::tuplestore_putvalues(store, description, values.as_mut_ptr(), nulls.as_mut_ptr());
            });
            self.scratch.reset();
        }
    }

    /// Adds a row that Postgres made, of the declared columns.
    ///
    /// # Safety
    /// `tuple` must begin with the types that the function is declared with; what stands behind them is not read.
    pub unsafe fn push_tuple(&mut self, tuple: pg_sys::HeapTuple) {
        // SAFETY: by the caller's promise; the store copies the tuple.
        unsafe { pg_sys::tuplestore_puttuple(self.store, tuple) };
    }
}

/// A real as a datum.
pub fn real(value: f32) -> Datum {
    Datum::from(value.to_bits())
}
