//! What the API answers.

mod acting;
mod inspecting;
mod looking;
mod past;
mod reasons;
mod world;
