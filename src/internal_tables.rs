//! The extension's own tables: the queue, the failures and the progress of backfills.
//!
//! Nobody has privileges on them, and the library has none to lend: no statement here runs as a superuser, nor as the
//! user at work. It runs as a role that owns nothing, in a security-restricted operation; what is waived is the check of
//! privileges on these very tables, by OID, in the plan of the one statement at hand (see [`crate::spi::Allowed`]). So
//! whatever might be fired by a row here would gain nothing by it.
//!
//! And nothing is fired: the tables lie in a schema that belongs to the superuser who created the extension, under fixed
//! names. Before each statement the table is locked, and refused where it, or its schema, belongs to somebody else, or
//! where it has triggers, rules, policies, checks or indexes with expressions that the extension's script did not make.
//! The lock is held until the transaction ends: whoever could change that waits. Statements give every column a value, so
//! that no default is evaluated.

use crate::errors::{Error, Result, or_raise};
use crate::spi::{Allowed, Argument, Connection, Plan, Row, Subject, run_kept};
use crate::{c_function, text};
use pgrx::pg_sys::{self, Oid, Relation};
use std::cell::Cell;
use std::ffi::CStr;
use std::sync::OnceLock;

/// The schema, as the extension's script names it.
const SCHEMA: &CStr = c"clip_search_internal";

/// `pg_stat_scan_tables`, which may do next to nothing: a role that is there in every cluster.
const NOBODY: u32 = 3377;

/// One of the tables.
#[derive(Clone, Copy)]
pub enum InternalTable {
    /// Rows that a background worker will embed.
    Queue,
    /// Rows that could not be embedded.
    Errors,
    /// What a background worker is trying.
    Attempts,
    /// Backfills that are running.
    Progress,
    /// Thresholds of tables.
    Thresholds,
}

impl InternalTable {
    /// Its name in statements.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "clip_search_internal.clip_embed_queue",
            Self::Errors => "clip_search_internal.clip_embed_errors_data",
            Self::Attempts => "clip_search_internal.clip_embed_attempts",
            Self::Progress => "clip_search_internal.clip_embed_progress_data",
            Self::Thresholds => "clip_search_internal.clip_thresholds_data",
        }
    }

    fn relation_name(self) -> &'static CStr {
        match self {
            Self::Queue => c"clip_embed_queue",
            Self::Errors => c"clip_embed_errors_data",
            Self::Attempts => c"clip_embed_attempts",
            Self::Progress => c"clip_embed_progress_data",
            Self::Thresholds => c"clip_thresholds_data",
        }
    }

    /// Locks it as whoever writes to it does, until the transaction ends, and looks whether it is as it was made.
    ///
    /// # Errors
    /// [`Error::InternalTable`].
    pub fn open(self) -> Result<Oid> {
        let refuse = |problem: String| Err(Error::InternalTable { table: self.name(), problem });
        // SAFETY: NUL-terminated names; a relation that is locked stays, and its description lives until it is closed. An
        // error closes it, too.
        unsafe {
            let schema = pg_sys::get_namespace_oid(SCHEMA.as_ptr(), true);
            let id = pg_sys::get_relname_relid(self.relation_name().as_ptr(), schema);
            if schema == Oid::INVALID || id == Oid::INVALID {
                return refuse("There is no such table.".to_owned());
            }
            let relation = pg_sys::table_open(id, pg_sys::RowExclusiveLock as i32);
            let problem = find_owner_problem(relation, schema).or_else(|| find_addition(relation));
            pg_sys::table_close(relation, pg_sys::NoLock as i32);
            problem.map_or(Ok(id), refuse)
        }
    }
}

/// What a query of one of the views in the same schema may refer to.
///
/// # Errors
/// [`Error::InternalTable`].
pub fn view(name: &'static CStr) -> Result<Allowed> {
    let table = name.to_str().expect("ASCII");
    let refuse = |problem: String| Err(Error::InternalTable { table, problem });
    // SAFETY: as in `open`.
    unsafe {
        let schema = pg_sys::get_namespace_oid(SCHEMA.as_ptr(), true);
        let id = pg_sys::get_relname_relid(name.as_ptr(), schema);
        if schema == Oid::INVALID || id == Oid::INVALID {
            return refuse("There is no such view.".to_owned());
        }
        let relation = pg_sys::relation_open(id, pg_sys::AccessShareLock as i32);
        let problem = find_owner_problem(relation, schema);
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        problem.map_or_else(|| Ok(Allowed::table(id, [])), refuse)
    }
}

/// Whether the table and its schema are a superuser's.
unsafe fn find_owner_problem(relation: Relation, schema: Oid) -> Option<String> {
    // SAFETY: an open relation; the cache's entry is valid until it is released.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::NAMESPACEOID as i32, schema.into());
        if tuple.is_null() {
            return Some("Its schema was dropped.".to_owned());
        }
        let schema_owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_namespace>()).nspowner;
        pg_sys::ReleaseSysCache(tuple);
        for (what, owner) in [("It", (*(*relation).rd_rel).relowner), ("Its schema", schema_owner)] {
            if !pg_sys::superuser_arg(owner) {
                let name = pg_sys::GetUserNameFromId(owner, true);
                let name = if name.is_null() { owner.to_string() } else { text::from_c(CStr::from_ptr(name)) };
                return Some(format!("{what} is owned by role \"{name}\", which is not a superuser."));
            }
        }
        None
    }
}

/// What somebody has put on the table.
unsafe fn find_addition(relation: Relation) -> Option<String> {
    // SAFETY: an open relation, whose lists are NULL or as long as they say.
    unsafe {
        let form = &*(*relation).rd_rel;
        if form.relkind as u8 != pg_sys::RELKIND_RELATION || form.relispartition || form.relhassubclass {
            return Some("It is not a plain table, or other tables inherit from it.".to_owned());
        }
        // What pg_class says of them may be of the past.
        if !(*relation).rd_rules.is_null() {
            return Some("It has rules.".to_owned());
        }
        if form.relrowsecurity {
            return Some("It has row-level security.".to_owned());
        }
        if let Some(triggers) = (*relation).trigdesc.as_ref() {
            let all = std::slice::from_raw_parts(triggers.triggers, triggers.numtriggers as usize);
            if let Some(other) = all.iter().find(|trigger| !is_own_trigger(trigger)) {
                let name = text::from_c(CStr::from_ptr(other.tgname));
                return Some(format!("It has a trigger \"{name}\" that is not the extension's."));
            }
        }
        if (*(*relation).rd_att)
            .constr
            .as_ref()
            .is_some_and(|constraints| constraints.num_check > 0 || constraints.has_generated_stored)
        {
            return Some("It has check constraints or generated columns.".to_owned());
        }
        let indexes = pg_sys::RelationGetIndexList(relation);
        for index in 0..indexes.as_ref().map_or(0, |list| list.length as usize) {
            let id = (*(*indexes).elements.add(index)).oid_value;
            let index = pg_sys::index_open(id, pg_sys::AccessShareLock as i32);
            let is_plain = pg_sys::RelationGetIndexExpressions(index).is_null()
                && pg_sys::RelationGetIndexPredicate(index).is_null();
            pg_sys::index_close(index, pg_sys::NoLock as i32);
            if !is_plain {
                return Some("It has an index with expressions.".to_owned());
            }
        }
        None
    }
}

/// The code of `clip_skip_replicated`.
static OWN_TRIGGER: OnceLock<usize> = OnceLock::new();

/// Says where the code of `clip_skip_replicated` is. To be called when the library is loaded.
pub fn set_own_trigger(address: usize) {
    OWN_TRIGGER.get_or_init(|| address);
}

/// Whether a trigger runs `clip_skip_replicated` of this library, and looks at nothing before.
unsafe fn is_own_trigger(trigger: &pg_sys::Trigger) -> bool {
    trigger.tgqual.is_null() && c_function::address(trigger.tgfoid) == OWN_TRIGGER.get().copied()
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether the library writes to its own tables right now.
pub fn is_at_work() -> bool {
    DEPTH.get() > 0
}

/// What is done while this lives is done as nobody.
struct AsNobody {
    user: Oid,
    context: i32,
}

impl AsNobody {
    fn begin() -> Self {
        let (mut user, mut context) = (Oid::INVALID, 0);
        // SAFETY: reads and sets variables of this process; undone by drop, and by the end of a transaction that fails.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&raw mut user, &raw mut context);
            let restricted = pg_sys::SECURITY_RESTRICTED_OPERATION | pg_sys::SECURITY_LOCAL_USERID_CHANGE;
            pg_sys::SetUserIdAndSecContext(Oid::from(NOBODY), context | restricted as i32);
        }
        DEPTH.set(DEPTH.get() + 1);
        Self { user, context }
    }
}

impl Drop for AsNobody {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        // SAFETY: puts back what `begin` found.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}

fn allowed(tables: &[InternalTable]) -> Allowed {
    Allowed::internal(tables.iter().map(|table| or_raise(table.open())).collect())
}

/// Runs a statement about some of the tables, which names PostgreSQL's own objects with their schema; how many rows it was
/// about, and those it gives. Raises where a table is not as it was made.
pub fn execute(
    connection: &Connection,
    tables: &[InternalTable],
    query: &str,
    arguments: &[Argument],
) -> (u64, Vec<Row>) {
    let allowed = allowed(tables);
    let _nobody = AsNobody::begin();
    connection.execute_allowed(&allowed, query, arguments)
}

/// As [`execute`], about one table, with a plan that is kept; the rows that it gives.
pub fn execute_kept(connection: &Connection, table: InternalTable, query: String, arguments: &[Argument]) -> Vec<Row> {
    let id = or_raise(table.open());
    let prepare = |query: &str, types: &[Oid]| {
        let _nobody = AsNobody::begin();
        Plan::prepare(connection, &Allowed::internal(vec![id]), query, types)
    };
    run_kept(query, arguments, Subject::Internal(id), prepare, |plan| {
        let _nobody = AsNobody::begin();
        plan.run(connection, arguments).1
    })
}
