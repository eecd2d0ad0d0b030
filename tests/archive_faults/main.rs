//! The fault table: every fault at every call, before versitygw, before `MinIO` and in a folder.
//!
//! In each cell (a fault and a call): no false proof, hence no delete; a reason that a person understands; and all is well by itself when the
//! fault is over. A cell that can't be is listed with the reason. Each cell is a test:
//! `cargo test --test archive_faults -- 'minio: slow drip'`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acts;
mod bucket;
mod checksums;
mod conditional;
mod damage;
mod folder;
mod large;
mod run;
mod site;
mod table;
mod tally;
mod tls;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Builder, Runtime};
use unstick_bed::{S3Kind, S3Server};

use acts::Story;
use bucket::{BUCKET, Cell, PLAIN};
use run::Run;
use site::Site;
use table::{Outcome, Wrong};
use tally::Tally;

/// Started by the first cell that needs it.
#[derive(Default)]
struct Servers([OnceLock<S3Server>; 2]);

impl Servers {
    fn get(&self, kind: S3Kind) -> &S3Server {
        self.0[usize::from(kind == S3Kind::Minio)].get_or_init(|| {
            runtime().block_on(async {
                let server = S3Server::start(kind).await.unwrap();
                server.create_versioned_bucket(BUCKET).await.unwrap();
                server.create_bucket(PLAIN).await.unwrap();
                server
            })
        })
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn cells(servers: &Arc<Servers>, tally: &Arc<Tally>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for kind in S3Kind::ALL {
        for (at, row) in table::bucket().into_iter().enumerate() {
            let row = Arc::new(row);
            for site in Site::ALL {
                let outcome = row.outcomes.at(site);
                let name = format!("{}: {}: {site:?}", kind.name(), row.name);
                let cell = tally.cell(kind.name(), row.name, site);
                if let Outcome::Impossible(why) = outcome {
                    trials.push(Trial::test(format!("{name} can't be: {why}"), || Ok(())).with_ignored_flag(true));
                    continue;
                }
                let (row, servers) = (Arc::clone(&row), Arc::clone(servers));
                let short = format!("r{at}-{}", format!("{site:?}").to_lowercase());
                trials.push(Trial::test(name, move || {
                    let server = servers.get(kind);
                    let played = runtime().block_on(async {
                        let cell = Cell::new(server, &short, &row.wrong).await;
                        match row.wrong {
                            Wrong::Certificate(bad) => Box::pin(cell.play_certificate(site, bad, outcome)).await,
                            _ => Box::pin(cell.play(site, &row.wrong, &row.outcomes)).await,
                        }
                    });
                    cell.is(played).map_err(Failed::from)
                }));
            }
        }
    }
    trials
}

/// Some cells once more, with the largest run there can be.
fn large_cells(servers: &Arc<Servers>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for kind in S3Kind::ALL {
        for (at, (fault, site)) in large::IN_A_BUCKET.iter().enumerate() {
            let row = table::bucket().into_iter().find(|row| row.name == *fault).unwrap();
            let servers = Arc::clone(servers);
            trials.push(Trial::test(format!("{}, large: {fault}: {site:?}", kind.name()), move || {
                let server = servers.get(kind);
                let played = runtime().block_on(async {
                    let mut cell = Cell::new(server, &format!("large-{at}"), &row.wrong).await;
                    cell.story = Story::new(Run::large(cell.story.run.location.clone()));
                    Box::pin(cell.play(*site, &row.wrong, &row.outcomes)).await
                });
                played.map(drop).map_err(Failed::from)
            }));
        }
    }
    for (fault, site) in large::IN_A_FOLDER {
        let row = folder::rows().into_iter().find(|row| row.name == *fault).unwrap();
        let (wrong, outcome) = (row.wrong, row.outcomes.at(*site));
        if folder::needs_namespaces(wrong) && !folder::has_namespaces() {
            continue;
        }
        trials.push(Trial::test(format!("folder, large: {fault}: {site:?}"), move || {
            folder::play(wrong, *site, outcome, true).map_err(Failed::from)
        }));
    }
    trials
}

fn folder_cells(namespaces: bool, tally: &Arc<Tally>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for row in folder::rows() {
        for site in Site::ALL {
            let (outcome, wrong) = (row.outcomes.at(site), row.wrong);
            let name = format!("folder: {}: {site:?}", row.name);
            let cell = tally.cell("folder", row.name, site);
            let why = match outcome {
                Outcome::Impossible(why) => why,
                _ if folder::needs_namespaces(wrong) && !namespaces => "this machine forbids user namespaces",
                _ => {
                    trials.push(Trial::test(name, move || {
                        cell.is(folder::play(wrong, site, outcome, false)).map_err(Failed::from)
                    }));
                    continue;
                }
            };
            trials.push(Trial::test(format!("{name} can't be: {why}"), || Ok(())).with_ignored_flag(true));
        }
    }
    trials
}

fn main() -> ExitCode {
    if let Some(played) = folder::child() {
        return played.map_or_else(
            |why| {
                eprintln!("{why}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    let mut arguments = Arguments::from_args();
    // They mostly wait.
    arguments.test_threads.get_or_insert(16);
    let (servers, tally) = (Arc::new(Servers::default()), Arc::new(Tally::default()));
    let mut trials = cells(&servers, &tally);
    for kind in S3Kind::ALL {
        let servers = Arc::clone(&servers);
        trials.push(Trial::test(format!("{}: checksums are told as they are", kind.name()), move || {
            let server = servers.get(kind);
            let told = checksums::are_told_as_they_are(server, kind == S3Kind::Versitygw);
            runtime().block_on(told).map_err(Failed::from)
        }));
    }
    for kind in S3Kind::ALL {
        for how in conditional::How::ALL {
            let servers = Arc::clone(&servers);
            trials.push(Trial::test(format!("{}: a store that {how}", kind.name()), move || {
                let server = servers.get(kind);
                runtime().block_on(conditional::is_looked_at_first(server, how)).map_err(Failed::from)
            }));
        }
    }
    trials.extend(folder_cells(folder::has_namespaces(), &tally));
    trials.extend(large_cells(&servers));
    let done = libtest_mimic::run(&arguments, trials);
    print!("{tally}");
    println!(
        "fault table: {} cells passed, {} failed, {} can't be (each is listed with the reason)",
        done.num_passed, done.num_failed, done.num_ignored
    );
    if done.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
