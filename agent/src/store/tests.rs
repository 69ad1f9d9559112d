//! The store on a real directory. What a kill at each step leaves behind is tried with the whole
//! program, in `tests/kill.rs`.
