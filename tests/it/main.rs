//! The one integration binary: each property is a module, named after what it holds.

mod agreement;
mod concurrency;
mod crash;
mod interop;
mod layering;
mod licences;
mod limits;
mod redis_down;
mod support;
mod tidy;
