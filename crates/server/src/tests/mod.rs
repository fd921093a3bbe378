//! The server through the wire, over real stores in temporary folders.

mod features;
mod fixture;
mod gate;
mod lifecycle;
mod overload;
mod pages;
mod standard;
mod traffic;
mod training;
