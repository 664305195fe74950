//! What users, disks, networks and servers throw at twm: bad input, full disks, garbage and silence.

mod api;
mod commands;
mod disks;
mod faults;
mod lists;
mod ports;
mod table;
mod world;
