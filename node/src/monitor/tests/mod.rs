//! Answers of the API.

mod acting;
mod inspecting;
mod looking;
mod past;
mod reasons;
mod world;
