//! JSON read for a few of its parts, without holding the rest.

mod node;
mod pass;
mod plan;
mod scan;
mod text;

pub use node::Node;
pub use plan::Plan;
pub use scan::Scanner;
pub(crate) use text::unescape;

#[cfg(test)]
mod tests;
