//! `tongkuan sandbox`: how does one develop before the API keys arrive? A local stand-in for 1688 on loopback HTTP.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels, bytes and design units change hands in every line of the drawing code, all far below 2^23"
)]

mod aop;
mod article;
mod details;
mod faults;
mod gate;
mod goods;
mod linkplus;
mod naming;
mod onebound;
mod options;
mod render;
mod search;
mod server;
mod shared;
mod shop;
mod terms;
mod tmapi;
mod uploads;

pub use faults::{Fault, FaultError, Faults};
pub use options::{Counters, SandboxOptions};
pub use server::{Sandbox, SandboxError};

pub use goods::{Catalogue, Good, View, ViewError};
