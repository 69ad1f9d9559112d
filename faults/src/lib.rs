//! What survives: a server that is killed, a power cut, a full disk, a disk that does not sync.
//!
//! Four programs. `kill` runs a real server, loads it over its ports, kills it and looks at what is
//! left; read on in [`mod@kill`]. A kill loses nothing that was handed to the kernel, so it cannot
//! find a missing sync: `replay` records what the registry writes and syncs, and builds every file
//! that a power cut could have left; read on in [`power`], and in [`disk`] for the disk itself. `full` runs a server on a disk that
//! fills up, and has space again; read on in [`full`]. `strain`
//! runs a server that has no file descriptors, slow guests, many guests, another clock, or a full
//! home; read on in [`strain`].

pub mod audit;
pub mod dice;
pub mod disk;
pub mod full;
pub mod kill;
pub mod power;
pub mod strain;

/// What went wrong, for a person: all errors here end a run.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
