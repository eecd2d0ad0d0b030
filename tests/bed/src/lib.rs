//! The test bed: a real control plane, the real Argo controller, and stand-ins for what needs machines of its own.
//!
//! ```text
//!   Bed::start        etcd + kube-apiserver, audit log on      Operator::start   the program under test, own identity
//!   Argo::start       workflow-controller 3.7                  Audit             what everybody really did
//!   Kubelet::start    walks pods as annotations tell it        bed.submit / wait_for
//!   S3Server::start   versitygw or `MinIO`, with a judge that reads what lies there
//!   FaultProxy        before either: loses replies, lies, stands still where a test wants to kill
//! ```
//!
//! Nothing outlives the process that started it, however that ends. Parts are built once into a cache outside the tree.

mod access;
mod apply;
mod argo;
mod audit;
mod cache;
mod certificate;
pub mod conformance;
pub mod corpus;
pub mod fakeapi;
pub mod fakes3;
pub mod faultproxy;
mod folder;
mod golang;
pub mod http1;
mod kubelet;
pub mod measure;
mod operator;
pub mod order;
pub mod parts;
mod process;
pub mod python;
pub mod s3;
pub mod scenario;
mod server;
mod shared;
pub mod workflow;

pub use argo::{Argo, ArgoOptions};
pub use audit::{Audit, Entry};
pub use certificate::SelfSigned;
pub use faultproxy::FaultProxy;
pub use kubelet::Kubelet;
pub use operator::{Operator, OperatorOptions};
pub use process::{Figures, Part, free_port};
pub use s3::{S3Kind, S3Server};
pub use server::{Bed, Options};
pub use shared::{Shared, shared};
pub use workflow::WorkflowRef;
