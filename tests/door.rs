//! Slow, silent, long-winded and many clients: the others are served, and memory stays bounded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use unstick::shell::door::{Door, Limits};

const SOON: Duration = Duration::from_secs(2);
const BIG: usize = 32 << 20;

fn limits() -> Limits {
    Limits {
        connections: 8,
        head_within: Duration::from_secs(1),
        answer_within: Duration::from_secs(1),
        lifetime: Duration::from_secs(3),
        ..Limits::default()
    }
}

async fn open(limits: Limits) -> (Door, SocketAddr) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/late", get(|| async { tokio::time::sleep(Duration::from_millis(400)).await }))
        .route("/never", get(|| async { std::future::pending::<()>().await }))
        .route("/big", get(|| async { vec![b'x'; BIG] }));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (Door::open(listener, router, limits), address)
}

/// Says `text` and nothing more.
async fn say(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(text.as_bytes()).await;
    stream
}

/// What comes until the connection is closed; an error when it stays open for `limit`.
async fn rest(stream: &mut TcpStream, limit: Duration) -> Result<String, &'static str> {
    let mut all = Vec::new();
    match tokio::time::timeout(limit, stream.read_to_end(&mut all)).await {
        Ok(_) => Ok(String::from_utf8_lossy(&all).into_owned()),
        Err(_) => Err("still open"),
    }
}

/// The answer to a whole request on a connection of its own.
async fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = say(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
    rest(&mut stream, SOON).await.unwrap_or_default()
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn slow_heads_stop_nobody_and_end_in_time() {
    let (_door, address) = open(limits()).await;
    let mut slow = Vec::new();
    // Many times the limit, and always some that drip on.
    for n in 0..64 {
        slow.push(say(address, "GET /healthz HTTP/1.1\r\nhost: ").await);
        for stream in slow.iter_mut().rev().take(8) {
            let _ = stream.write_all(b"x").await;
        }
        let begun = Instant::now();
        assert!(ask(address, "/healthz").await.ends_with("ok\n"), "after {n}");
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?} after {n}", begun.elapsed());
    }
    // The youngest were not pushed out by others: their time is over by itself, though they never were silent.
    let dripping = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let mut gone = 0;
            for stream in slow.iter_mut().rev().take(6) {
                let mut byte = [0];
                gone +=
                    usize::from(stream.write_all(b"x").await.is_err() || matches!(stream.try_read(&mut byte), Ok(0)));
            }
            if gone == 6 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(3), dripping).await.expect("slow heads are waited for without end");
}

#[tokio::test]
async fn a_crowd_that_says_nothing_is_bounded() {
    let patient = Limits { head_within: Duration::from_mins(1), lifetime: Duration::from_mins(1), ..limits() };
    let (_door, address) = open(patient).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(say(address, "").await);
    }
    assert!(ask(address, "/healthz").await.ends_with("ok\n"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let open = crowd
        .iter()
        .filter(|stream| stream.try_read(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock))
        .count();
    assert!(open > 0 && open <= 8, "{open} are open");
}

#[tokio::test]
async fn a_long_head_is_refused_and_takes_no_memory() {
    let (_door, address) = open(Limits { connections: 64, ..limits() }).await;
    let just_fits =
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\nlong: {}\r\n\r\n", "x".repeat(15 << 10));
    assert!(rest(&mut say(address, &just_fits).await, SOON).await.unwrap().ends_with("ok\n"));
    let long = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(17 << 10));
    let answer = rest(&mut say(address, &long).await, SOON).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(), "{answer}");
    let path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100 << 10));
    let answer = rest(&mut say(address, &path).await, SOON).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 4") || answer.is_empty(), "{answer}");
    let many: String = "h: x\r\n".repeat(2_000);
    let answer = rest(&mut say(address, &format!("GET / HTTP/1.1\r\n{many}\r\n")).await, SOON).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 4") || answer.is_empty(), "{answer}");

    let endless = "x: ".to_owned() + &"y".repeat(4 << 20);
    let before = resident();
    let all = (0..60).map(|_| say(address, &endless));
    let streams = futures::future::join_all(all).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{} KiB for {} heads without end", grown >> 10, streams.len());
    assert!(ask(address, "/healthz").await.ends_with("ok\n"));
}

#[tokio::test]
async fn who_is_being_answered_stays_and_too_many_of_those_are_told_in_time() {
    let (_door, address) = open(limits()).await;
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(say(address, "GET /never HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(ask(address, "/healthz").await, "", "no room, no answer");
    for stream in &mut waiting {
        let answer = rest(stream, SOON).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
    assert!(ask(address, "/healthz").await.ends_with("ok\n"), "there is room again");
}

#[tokio::test]
async fn who_reads_slowly_or_stays_for_ever_is_gone_after_a_while() {
    let (_door, address) = open(limits()).await;
    let before = resident();
    let mut reader = say(address, "GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(resident() > before + (BIG as u64) / 2, "the answer is held: else this proves nothing");
    // One that always has a next question.
    let mut busy = say(address, "").await;
    let begun = Instant::now();
    let mut answers = 0;
    while busy.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok() {
        if !matches!(tokio::time::timeout(SOON, busy.read(&mut [0; 4096])).await, Ok(Ok(1..))) {
            break;
        }
        answers += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(begun.elapsed() < Duration::from_secs(6), "{answers} answers and no end");
    }
    assert!(answers > 50 && begun.elapsed() > SOON, "{answers} in {:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(5).saturating_sub(begun.elapsed())).await;
    assert!(resident() < before + (BIG as u64) / 2, "an answer nobody reads is held for ever");
    let read = rest(&mut reader, SOON).await.unwrap().len();
    assert!(read < BIG, "it was sent in full");
}

#[tokio::test]
async fn closing_lets_answers_arrive_and_waits_for_nothing_else() {
    let (door, address) = open(Limits { answer_within: Duration::from_mins(1), ..limits() }).await;
    let mut kept = say(address, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut late = say(address, "GET /late HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut slow = say(address, "GET /late HT").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    door.close(SOON).await;
    assert!(begun.elapsed() < Duration::from_millis(1_200), "{:?}", begun.elapsed());
    assert!(rest(&mut late, SOON).await.unwrap().starts_with("HTTP/1.1 200 "), "an answer on its way was cut");
    assert!(rest(&mut kept, SOON).await.unwrap().ends_with("ok\n"));
    assert!(!rest(&mut slow, SOON).await.unwrap().contains("200"));
    assert!(TcpStream::connect(address).await.is_err(), "it still listens");

    let (door, address) = open(Limits { answer_within: Duration::from_mins(1), ..limits() }).await;
    let mut never = say(address, "GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    door.close(Duration::from_millis(300)).await;
    assert!((300..1_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(rest(&mut never, SOON).await.unwrap(), "");
}
