
pub mod corpus;
