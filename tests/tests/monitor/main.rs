//! The web monitor in a real browser, against real clusters.

mod acting;
mod inspecting;
mod looking;
mod past;
mod world;
