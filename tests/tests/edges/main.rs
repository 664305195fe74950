//! Hostile users, disks, networks and servers: bad input, full disks, garbage and silence.

mod api;
mod commands;
mod disks;
mod faults;
mod lists;
mod pool;
mod ports;
mod table;
mod world;
