//! Connections that let bytes gather: a lone event comes at once, many come together, and nothing is lost on the way.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use unstick::shell::gathered::Gathered;

/// So long that nothing else takes as long, even where the machine is busy.
const LONG: Duration = Duration::from_millis(1_500);

/// Both ends of a connection; what `theirs` sends gathers for `gather` at `ours`.
async fn pair(gather: Duration) -> (Gathered, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    theirs.set_nodelay(true).unwrap();
    (Gathered::new(ours, gather), theirs)
}

async fn next(ours: &mut Gathered) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    let count = timeout(Duration::from_secs(20), ours.read(&mut bytes)).await.unwrap().unwrap();
    bytes.truncate(count);
    bytes
}

/// Bytes of which each place shows whether it is the right one.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from((n / 7 + n / 4_099) % 251).unwrap()).collect()
}

#[tokio::test]
async fn a_lone_event_comes_at_once_and_one_right_behind_it_late() {
    let (mut ours, mut theirs) = pair(LONG).await;
    for round in 0..2_u8 {
        let sent = Instant::now();
        theirs.write_all(&[round]).await.unwrap();
        assert_eq!(next(&mut ours).await, [round]);
        assert!(sent.elapsed() < LONG / 3, "{:?}", sent.elapsed());
        // Nobody reads meanwhile: the wait begins with the next read, not with the last event.
        sleep(LONG + LONG / 3).await;
    }
    theirs.write_all(b"a").await.unwrap();
    assert_eq!(next(&mut ours).await, b"a");
    let sent = Instant::now();
    let writer = tokio::spawn(async move {
        sleep(LONG / 10).await;
        theirs.write_all(b"b").await.unwrap();
        sleep(LONG / 10).await;
        theirs.write_all(b"c").await.unwrap();
        theirs
    });
    assert_eq!(next(&mut ours).await, b"bc");
    let took = sent.elapsed();
    assert!((LONG..LONG * 2).contains(&took), "{took:?}");
    drop(writer.await.unwrap());
    assert_eq!(next(&mut ours).await, b"", "the end");
}

#[tokio::test]
async fn a_burst_comes_in_few_reads() {
    for (gather, fewest, most) in [(100, 1, 12), (0, 40, 200)] {
        let (mut ours, mut theirs) = pair(Duration::from_millis(gather)).await;
        let writer = tokio::spawn(async move {
            for _ in 0..200 {
                theirs.write_all(&[7; 100]).await.unwrap();
                sleep(Duration::from_millis(2)).await;
            }
        });
        let (mut reads, mut bytes) = (0, 0);
        while bytes < 200 * 100 {
            bytes += next(&mut ours).await.len();
            reads += 1;
        }
        assert!((fewest..=most).contains(&reads), "gathering {gather} ms: {reads} reads");
        writer.await.unwrap();
        assert_eq!(next(&mut ours).await, b"");
    }
}

#[tokio::test]
async fn an_answer_waits_for_nothing() {
    let (mut ours, mut theirs) = pair(LONG).await;
    let server = tokio::spawn(async move {
        let mut bytes = [0; 16];
        loop {
            let count = theirs.read(&mut bytes).await.unwrap();
            if count == 0 {
                return;
            }
            theirs.write_all(&bytes[..count]).await.unwrap();
        }
    });
    let begun = Instant::now();
    for round in 0..5_u8 {
        ours.write_all(&[round]).await.unwrap();
        assert_eq!(next(&mut ours).await, [round]);
        // As an HTTP client does, which looks whether more has come: gathering has begun when the next request is sent.
        assert!(timeout(Duration::from_millis(5), ours.read_u8()).await.is_err());
    }
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    ours.shutdown().await.unwrap();
    server.await.unwrap();
    assert_eq!(next(&mut ours).await, b"");
}

#[tokio::test]
async fn a_long_answer_waits_for_nothing_and_arrives_whole() {
    let (mut ours, mut theirs) = pair(LONG).await;
    let all = pattern(24 << 20);
    let sent = all.clone();
    let writer = tokio::spawn(async move { theirs.write_all(&sent).await.unwrap() });
    let begun = Instant::now();
    let mut got = Vec::new();
    // Small reads, as TLS makes them.
    let mut bytes = vec![0; 4_096];
    while got.len() < all.len() {
        let count = timeout(Duration::from_secs(20), ours.read(&mut bytes)).await.unwrap().unwrap();
        assert!(count > 0);
        got.extend_from_slice(&bytes[..count]);
    }
    assert!(got == all, "the bytes differ");
    assert!(begun.elapsed() < LONG * 2, "{:?}", begun.elapsed());
    writer.await.unwrap();
}

/// Two tasks share the connection; both the kernel's buffers are full most of the time.
#[tokio::test]
async fn a_full_connection_loses_nothing_in_either_direction() {
    let (ours, mut theirs) = pair(Duration::from_millis(20)).await;
    let all = pattern(16 << 20);
    let expected = all.clone();
    let server = tokio::spawn(async move {
        let (mut read, mut write) = theirs.split();
        sleep(Duration::from_millis(200)).await;
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let (mut read, mut write) = tokio::io::split(ours);
    let writer = tokio::spawn(async move {
        write.write_all(&all).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    timeout(Duration::from_secs(30), read.read_to_end(&mut got)).await.unwrap().unwrap();
    assert!(got == expected, "{} bytes of {}", got.len(), expected.len());
    writer.await.unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn a_reset_is_an_error_also_while_bytes_gather() {
    for gather in [Duration::ZERO, Duration::from_millis(300)] {
        let (mut ours, mut theirs) = pair(gather).await;
        theirs.write_all(b"a").await.unwrap();
        assert_eq!(next(&mut ours).await, b"a");
        assert!(timeout(Duration::from_millis(30), ours.read_u8()).await.is_err(), "nothing more has come");
        theirs.set_zero_linger().unwrap();
        drop(theirs);
        let ended = timeout(Duration::from_secs(5), ours.read_u8()).await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }
}
