//! Fault injection.

mod injector;
mod mangle;
mod rule;
mod transport;

pub(super) use injector::{Injector, Target};
pub(super) use mangle::mangle;
pub use rule::{Fault, FaultRule, parse_rules};
pub(super) use transport::{Delivery, deliver};
