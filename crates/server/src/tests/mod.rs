//! The server through the wire, over real stores in temporary folders.

mod auth;
mod connections;
mod exchange;
mod features;
mod fixture;
mod flight;
mod gate;
mod lifecycle;
mod overload;
mod pages;
mod pushes;
mod standard;
mod tls;
mod traffic;
mod training;
