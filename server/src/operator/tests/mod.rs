//! The interface from outside: permissions, refusals, and what each address does.

mod authorities;
mod devices;
mod moves;
mod records;
mod roles;
mod rules;
pub(crate) mod world;
mod writes;
