pub mod conformance;
pub mod corpus;
pub mod fakeapi;
pub mod measure;
