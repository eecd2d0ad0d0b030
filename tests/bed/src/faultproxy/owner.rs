//! Puts in the name of a bucket's owner: what a client has signed can't be changed on the way.

use anyhow::{Result, anyhow};
use aws_sdk_s3::primitives::ByteStream;
use http::HeaderMap;
use hyper::body::Bytes;

use super::fault::Answer;
use crate::S3Server;
use crate::s3::client_of;

/// The owner's access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    access_key: String,
    secret_key: String,
}

impl Owner {
    pub fn of(server: &S3Server) -> Self {
        Self { access_key: server.access_key.clone(), secret_key: server.secret_key.clone() }
    }

    /// Puts an object, whatever is there, with type and metadata as given; the answer is for who wanted to put it.
    pub(super) async fn put(&self, address: &str, path: &str, headers: &HeaderMap, body: Bytes) -> Result<Answer> {
        let (bucket, key) =
            path.trim_start_matches('/').split_once('/').ok_or_else(|| anyhow!("{path} is no object"))?;
        let client = client_of(&format!("http://{address}"), &self.access_key, &self.secret_key);
        let mut put = client.put_object().bucket(bucket).key(key).body(ByteStream::from(body));
        for (name, value) in headers {
            let value = value.to_str()?;
            match name.as_str().strip_prefix("x-amz-meta-") {
                Some(name) => put = put.metadata(name, value),
                None if name == "content-type" => put = put.content_type(value),
                None => {}
            }
        }
        put.send().await.map_err(|e| anyhow!("the server doesn't take {path} without a condition: {e:?}"))?;
        Ok(Answer::Plain(200, "application/xml".to_owned(), Bytes::new()))
    }
}
