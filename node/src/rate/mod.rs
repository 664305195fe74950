//! Types shared by sources and budgets: what a request counts against, and what an answer reports about it.

mod info;
mod scope;

pub use info::{Delivery, RateInfo};
pub use scope::{BudgetScope, Per};
