//! The S3 servers of the bed: they keep what the archive relies on, the judge sees what lies there, nothing stays behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use unstick_bed::s3::files_below;
use unstick_bed::{S3Kind, S3Server};

fn status<E>(error: &SdkError<E>) -> u16 {
    error.raw_response().map_or(0, |r| r.status().as_u16())
}

async fn keeps_objects(kind: S3Kind) {
    let server = S3Server::start(kind).await.unwrap();
    server.create_versioned_bucket("bucket").await.unwrap();
    let put = |body: &'static str| {
        let client = server.client();
        async move {
            let put = client.put_object().bucket("bucket").key("w/ns/run one.json.gz").metadata("workflow-name", "run");
            put.content_type("application/gzip").if_none_match("*").body(body.as_bytes().to_vec().into()).send().await
        }
    };
    put("first").await.unwrap();
    let refused = put("second").await.unwrap_err();
    assert_eq!((status(&refused), refused.code()), (412, Some("PreconditionFailed")));

    let seen = server.read("bucket", "w/ns/run one.json.gz").await.unwrap().unwrap();
    assert_eq!((seen.bytes.as_slice(), seen.content_type.as_deref()), (&b"first"[..], Some("application/gzip")));
    assert_eq!(seen.metadata["workflow-name"], "run");
    assert!(seen.version_id.is_some());
    assert_eq!(server.read("bucket", "w/ns/none").await.unwrap(), None);
    assert_eq!(
        server.keys("bucket", "w/").await.unwrap().into_iter().collect::<Vec<_>>(),
        [("w/ns/run one.json.gz".to_owned(), 5)]
    );
    assert_eq!(server.versions("bucket").await.unwrap().len(), 1);

    // What somebody plants over it, or takes away, is to be seen in the versions.
    server.plant("bucket", "w/ns/run one.json.gz", b"third").await.unwrap();
    assert_eq!(server.versions("bucket").await.unwrap().len(), 2);
    server.remove("bucket", "w/ns/run one.json.gz").await.unwrap();
    let versions = server.versions("bucket").await.unwrap();
    assert_eq!((versions.len(), versions.iter().filter(|v| v.delete_marker).count()), (3, 1));

    // More than a page of a listing.
    server.create_bucket("many").await.unwrap();
    let client = server.client();
    for n in 0..1003 {
        client.put_object().bucket("many").key(format!("k{n:04}")).body(vec![].into()).send().await.unwrap();
    }
    assert_eq!(server.keys("many", "").await.unwrap().len(), 1003);

    // Down and up again: the data is still there.
    server.stop().unwrap();
    assert!(server.read("many", "k0000").await.is_err());
    server.restart().await.unwrap();
    assert!(server.read("many", "k0000").await.unwrap().is_some());
    if kind == S3Kind::Versitygw {
        assert_eq!(files_below(&server.data().join("many")).unwrap().len(), 1003);
    }

    let (folder, pid) = (server.folder().to_owned(), server.pid().unwrap());
    drop(server);
    assert!(!folder.exists());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn versitygw_keeps_objects() {
    keeps_objects(S3Kind::Versitygw).await;
}

#[tokio::test]
async fn minio_keeps_objects() {
    keeps_objects(S3Kind::Minio).await;
}
