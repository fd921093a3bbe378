//! The server through the wire, over real stores in temporary folders.

mod exchange;
mod features;
mod fixture;
mod gate;
mod lifecycle;
mod pages;
mod standard;
mod traffic;
mod training;
