//! The tool for agents (Model Context Protocol): search by picture, check, similar, offer details, quota.
//!
//! ```text
//! standard streams ---> process --+
//!                                 +--> agent ---> the same searches, pools and limits as over HTTP
//! POST /mcp ----------> http -----+
//! ```
//!
//! An agent acts where nobody looks at each step, so it reads alone unless its user has said otherwise, and each call that may cost
//! something has to ask for that as well.

mod agent;
mod answers;
mod arguments;
pub(super) mod http;
mod lines;
mod process;
mod roots;
mod text;
mod tools;

pub use process::{McpError, McpOptions, McpParts, McpServer};
