//! The fault proxy judged on itself: each fault does what its name says and nothing more; then before the real servers,
//! with clients that nobody here wrote.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod faults;
mod holds;
mod kube;
mod s3;
mod tiny;
