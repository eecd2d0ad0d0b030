//! Leader election over a fake API that checks resourceVersions, in virtual time: partitions, lost answers, thieves.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::{BoxError, Service};
use unstick::shell::lease::{LeaseHandle, LeaseOptions, WATERMARK, start};

/// What happens to the requests of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Link {
    #[default]
    Up,
    /// Requests get no answer and have no effect.
    Down,
    /// Requests take effect; the answer never comes.
    Deaf,
    /// Every answer is a 500.
    Failing,
}

#[derive(Default)]
struct World {
    lease: Option<Value>,
    version: u64,
    links: HashMap<String, Link>,
    writes: u64,
}

#[derive(Clone)]
struct FakeApi {
    world: Arc<Mutex<World>>,
    who: String,
}

impl Service<Request<Body>> for FakeApi {
    type Response = Response<Full<hyper::body::Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let method = request.method().clone();
            let body = request.into_body().collect().await?.to_bytes();
            let link = this.world.lock().unwrap().links.get(&this.who).copied().unwrap_or_default();
            let (code, answer) = match link {
                Link::Down => std::future::pending().await,
                Link::Failing => (500, json!({"kind": "Status", "code": 500, "message": "no"})),
                Link::Up | Link::Deaf => this.world.lock().unwrap().answer(&method, &body),
            };
            if link == Link::Deaf {
                std::future::pending::<()>().await;
            }
            Ok(Response::builder().status(StatusCode::from_u16(code)?).body(Full::from(answer.to_string()))?)
        })
    }
}

impl World {
    fn answer(&mut self, method: &Method, body: &[u8]) -> (u16, Value) {
        let status = |code: u16| {
            (
                code,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no", "reason": if code == 404 { "NotFound" } else { "Conflict" }}),
            )
        };
        if *method == Method::GET {
            return self.lease.clone().map_or_else(|| status(404), |lease| (200, lease));
        }
        let mut new: Value = serde_json::from_slice(body).unwrap();
        match (&self.lease, *method == Method::POST) {
            (Some(_), true) => return status(409),
            (None, false) => return status(404),
            (Some(old), false) if old["metadata"]["resourceVersion"] != new["metadata"]["resourceVersion"] => {
                return status(409);
            }
            _ => {}
        }
        self.version += 1;
        self.writes += 1;
        new["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(new.clone());
        (200, new)
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Value)) {
        self.version += 1;
        let version = self.version.to_string();
        let lease = self.lease.as_mut().unwrap();
        edit(lease);
        lease["metadata"]["resourceVersion"] = json!(version);
    }
}

fn options(identity: &str) -> LeaseOptions {
    LeaseOptions {
        namespace: "ns".into(),
        name: "unstick".into(),
        identity: identity.into(),
        duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    }
}

struct Field {
    world: Arc<Mutex<World>>,
    candidates: Vec<LeaseHandle>,
}

impl Field {
    fn of(names: &[&str]) -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let candidates = names
            .iter()
            .map(|name| {
                let api = FakeApi { world: world.clone(), who: (*name).to_owned() };
                start(Client::new(api, "ns"), options(name))
            })
            .collect();
        Self { world, candidates }
    }

    fn link(&self, who: &str, link: Link) {
        self.world.lock().unwrap().links.insert(who.to_owned(), link);
    }

    fn leaders(&self) -> Vec<usize> {
        (0..self.candidates.len()).filter(|n| self.candidates[*n].holds()).collect()
    }

    /// Lets time pass; never may two lead. Returns how long until `done`.
    async fn pass(&self, most: Duration, done: impl Fn(&[usize]) -> bool) -> Option<Duration> {
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < most {
            let leaders = self.leaders();
            assert!(leaders.len() <= 1, "two leaders: {leaders:?}");
            if done(&leaders) {
                return Some(begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }

    async fn first_leader(&self) -> usize {
        self.pass(Duration::from_secs(5), |l| !l.is_empty()).await.unwrap();
        self.leaders()[0]
    }

    fn lease(&self) -> Value {
        self.world.lock().unwrap().lease.clone().unwrap()
    }
}

const NAMES: [&str; 2] = ["a", "b"];

#[tokio::test(start_paused = true)]
async fn one_leads_and_renews_every_two_seconds() {
    let field = Field::of(&NAMES);
    let first = field.first_leader().await;
    let before = field.world.lock().unwrap().writes;
    assert_eq!(field.pass(Duration::from_mins(1), |l| l != [first]).await, None);
    let writes = field.world.lock().unwrap().writes - before;
    assert!((26..=34).contains(&writes), "{writes} writes in a minute");
    let lease = field.lease();
    assert_eq!(lease["spec"]["holderIdentity"], NAMES[first]);
    assert_eq!((&lease["spec"]["leaseDurationSeconds"], &lease["spec"]["leaseTransitions"]), (&json!(15), &json!(0)));
    let standby = field.candidates[1 - first].state();
    assert_eq!((standby.leading, standby.holder.as_str()), (false, NAMES[first]));
}

#[tokio::test(start_paused = true)]
async fn a_leader_cut_off_stops_within_ten_seconds_and_another_follows_within_twenty() {
    for link in [Link::Down, Link::Failing] {
        let field = Field::of(&NAMES);
        let first = field.first_leader().await;
        assert!(field.candidates[first].flush("mark-1".into()).await);
        field.link(NAMES[first], link);
        let stopped = field.pass(Duration::from_secs(30), <[usize]>::is_empty).await.unwrap();
        assert!((7..=10).contains(&stopped.as_secs()), "{link:?}: {stopped:?}");
        let followed = field.pass(Duration::from_secs(30), |l| l == [1 - first]).await.unwrap();
        assert!((15.0..20.0).contains(&(stopped + followed).as_secs_f64()), "{link:?}: {stopped:?} + {followed:?}");
        let state = field.candidates[1 - first].state();
        assert_eq!(
            (state.leading, state.watermark.as_deref()),
            (true, Some("mark-1")),
            "the watermark goes to the successor"
        );
        assert_eq!(field.lease()["spec"]["leaseTransitions"], 1);
        field.link(NAMES[first], Link::Up);
        assert_eq!(field.pass(Duration::from_mins(1), |l| l != [1 - first]).await, None, "the old one stays back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_not_a_lost_lease() {
    let field = Field::of(&NAMES);
    let first = field.first_leader().await;
    for _ in 0..5 {
        field.link(NAMES[first], Link::Deaf);
        assert_eq!(field.pass(Duration::from_millis(2_600), |l| l != [first]).await, None);
        field.link(NAMES[first], Link::Up);
        assert_eq!(field.pass(Duration::from_secs(12), |l| l != [first]).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stolen_lease_ends_leadership_at_the_next_renewal_and_a_deleted_one_is_made_anew() {
    let field = Field::of(&["a"]);
    field.first_leader().await;
    field.world.lock().unwrap().edit(|lease| lease["spec"]["holderIdentity"] = json!("thief"));
    assert!(field.pass(Duration::from_secs(3), <[usize]>::is_empty).await.is_some());
    assert!(!field.candidates[0].flush("x".into()).await);
    let back = field.pass(Duration::from_secs(40), |l| l == [0]).await.unwrap();
    assert!(back >= Duration::from_secs(14), "a whole term later: {back:?}");
    field.world.lock().unwrap().lease = None;
    field.pass(Duration::from_secs(3), |_| false).await;
    assert_eq!((field.leaders(), &field.lease()["spec"]["holderIdentity"]), (vec![0], &json!("a")), "made anew");
}

#[tokio::test(start_paused = true)]
async fn a_flush_is_stored_when_it_says_so_also_over_somebodys_edit() {
    let field = Field::of(&NAMES);
    let first = field.first_leader().await;
    field.world.lock().unwrap().edit(|lease| lease["metadata"]["annotations"] = json!({"other": "kept"}));
    let leader = &field.candidates[first];
    assert!(leader.flush("one".into()).await);
    assert_eq!(field.lease()["metadata"]["annotations"], json!({"other": "kept", WATERMARK: "one"}));
    field.pass(Duration::from_secs(5), |_| false).await;
    assert_eq!(field.lease()["metadata"]["annotations"][WATERMARK], "one", "renewals keep it");
    assert!(!field.candidates[1 - first].flush("no".into()).await);
    field.link(NAMES[first], Link::Down);
    assert!(!leader.flush("two".into()).await);
    assert_eq!(field.lease()["metadata"]["annotations"][WATERMARK], "one");
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_the_next_look() {
    let mut field = Field::of(&NAMES);
    let first = field.first_leader().await;
    assert!(field.candidates[first].flush("last".into()).await);
    field.candidates.remove(first).release().await;
    assert_eq!(field.lease()["spec"]["holderIdentity"], "");
    let taken = field.pass(Duration::from_secs(5), |l| l == [0]).await.unwrap();
    assert!(taken < Duration::from_millis(2_500), "{taken:?}");
    assert_eq!(field.candidates[0].state().watermark.as_deref(), Some("last"));
}

#[tokio::test(start_paused = true)]
async fn whatever_the_network_does_two_never_lead_and_in_the_end_one_does() {
    let names = ["a", "b", "c"];
    for seed in 1_u64..12 {
        let field = Field::of(&names);
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut roll = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let mut changes = 0;
        let mut last = vec![];
        for _ in 0..40 {
            let who = names[usize::try_from(roll(3)).unwrap()];
            let link = [Link::Up, Link::Down, Link::Deaf, Link::Failing][usize::try_from(roll(4)).unwrap()];
            field.link(who, link);
            field.pass(Duration::from_millis(500 + roll(15_000)), |_| false).await;
            let now = field.leaders();
            changes += u32::from(now != last);
            last = now;
        }
        assert!(changes > 3, "seed {seed} was too quiet: {changes}");
        for who in names {
            field.link(who, Link::Up);
        }
        assert!(field.pass(Duration::from_secs(25), |l| l.len() == 1).await.is_some(), "seed {seed}");
    }
}
