//! What the API answers.

mod acting;
mod looking;
mod past;
mod reasons;
mod world;
