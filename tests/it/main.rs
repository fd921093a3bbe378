//! The one integration binary: each property is a module, named after what it holds.

mod support;
