//! The disk under the registry: [`vfs`] is what SQLite writes through and keeps the [`tape`];
//! [`image`] plays a tape and builds what a power cut could have left; [`trouble`] makes the disk
//! full, or lets its syncs fail.

pub mod image;
pub mod tape;
pub mod trouble;
pub mod vfs;
