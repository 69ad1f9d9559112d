//! The interface from outside: permissions, refusals, and what each address does.

mod devices;
mod moves;
mod records;
mod roles;
mod rules;
pub(crate) mod world;
mod writes;
