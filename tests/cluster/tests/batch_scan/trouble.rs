//! Cancelled, killed, updated by others, short of memory.
