//! CLIP search inside PostgreSQL.
::pgrx::pg_module_magic!();
