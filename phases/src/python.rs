//! Python in this very process: which interpreter, its library, and calls into it.
//!
//! Nothing of Python is needed to build rsd or to run anything else. [`find()`] tells what `python3`
//! would be and which shared library is that same build, without running it.

mod binding;
pub mod find;
mod hosted;
mod memory;

pub use find::{Interpreter, find};
pub use hosted::{Ask, Python, Trouble, is_loaded, log_to};
