//! The web monitor in a real browser, before real clusters.

mod acting;
mod inspecting;
mod looking;
mod past;
mod world;
