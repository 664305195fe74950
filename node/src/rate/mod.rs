//! What sources and budgets both speak of: what a request counts against, and what an answer says about that.

mod info;
mod scope;

pub use info::{Delivery, RateInfo};
pub use scope::{BudgetScope, Per};
