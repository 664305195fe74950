//! What the API answers.

mod acting;
mod looking;
mod reasons;
mod world;
