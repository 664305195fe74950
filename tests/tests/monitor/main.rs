//! The web monitor in a real browser, before real clusters.

mod acting;
mod browser;
mod inspecting;
mod looking;
mod past;
mod world;
