//! What the API answers.

mod acting;
mod inspecting;
mod looking;
mod reasons;
mod world;
