//! Budgets.
mod scope;
pub use scope::{BudgetScope, Per};
