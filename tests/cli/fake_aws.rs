//! EC2, Auto Scaling and STS in the test process, with what moto's server cannot do: snapshots that are pending or
//! fail, volumes that fail, throttling, lost replies, pages, locks, scale-in protection, terminations that take time.
//!
//! It speaks the Query protocol from a [`State`] that a test may read and change. Each request passes two hooks: the
//! first decides on a [`Fault`], the second sees the state after it.

mod ec2;
mod filter;
mod http;
mod policy;
mod request;
mod scaling;
mod snapshots;
mod state;
mod volumes;
mod xml;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_ec2::config::Credentials;

pub use self::policy::unauthorized;
pub use self::request::Request;
pub use self::state::{Snapshot, State, Volume};
use self::xml::{element, text};
use crate::aws::Aws;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Refused with this status, code and message; nothing is done.
    Refuse(u16, &'static str, String),
    /// The connection is cut; nothing is done.
    CutBefore,
    /// All is done, and the connection is cut before the answer.
    CutAfter,
}

/// EC2's refusal of too many calls.
pub fn throttled() -> Fault {
    Fault::Refuse(503, "RequestLimitExceeded", "Request limit exceeded.".to_owned())
}

/// What the service says no with: status, code, message.
pub struct Refusal(pub u16, pub &'static str, pub String);

type Before = Box<dyn FnMut(&Request, &mut State) -> Fault + Send>;
type After = Box<dyn FnMut(&Request, &mut State) + Send>;

struct Inner {
    state: State,
    seen: Vec<Request>,
    before: Before,
    after: After,
}

/// The fake, on a port of its own; its [`Aws`] leads to it.
pub struct FakeAws {
    aws: Aws,
    inner: Arc<Mutex<Inner>>,
}

impl Deref for FakeAws {
    type Target = Aws;

    fn deref(&self) -> &Aws {
        &self.aws
    }
}

impl FakeAws {
    /// An empty account in which everything works at once.
    pub fn start() -> Self {
        let state = State::new("123456789012");
        let keys = Credentials::new("AKIDOFTHISTEST", "secret", None, None, "test");
        let inner = Inner { state, seen: Vec::new(), before: Box::new(|_, _| Fault::None), after: Box::new(|_, _| ()) };
        let inner = Arc::new(Mutex::new(inner));
        let answering = Arc::clone(&inner);
        let url = http::serve(move |head, body| lock(&answering).answer(head, body));
        Self { aws: Aws::at(&url, "123456789012", keys), inner }
    }

    /// Decides on each request before it is answered, from now on.
    pub fn before(&self, hook: impl FnMut(&Request, &mut State) -> Fault + Send + 'static) {
        lock(&self.inner).before = Box::new(hook);
    }

    /// Looks at, or changes, the state after each request, from now on. A panic in it is lost: keep what was seen.
    pub fn after(&self, hook: impl FnMut(&Request, &mut State) + Send + 'static) {
        lock(&self.inner).after = Box::new(hook);
    }

    /// Reads or changes the state.
    pub fn state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut lock(&self.inner).state)
    }

    /// All requests since the last [`Self::forget`], refused and cut ones too.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.inner).seen.clone()
    }

    /// How many requests of each action there were since the last [`Self::forget`].
    pub fn count(&self) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for request in &lock(&self.inner).seen {
            *count.entry(request.action.clone()).or_default() += 1;
        }
        count
    }

    /// Begins to count anew, without hooks: after a test has set up what it needs.
    pub fn forget(&self) {
        let mut inner = lock(&self.inner);
        inner.seen.clear();
        inner.before = Box::new(|_, _| Fault::None);
        inner.after = Box::new(|_, _| ());
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// Status and body; `None` cuts the connection.
    fn answer(&mut self, head: &str, body: &str) -> Option<(u16, String)> {
        let request = Request::parse(head, body, self.seen.len() + 1);
        self.seen.push(request.clone());
        self.state.tick();
        let fault = (self.before)(&request, &mut self.state);
        let answer = match &fault {
            Fault::CutBefore => None,
            Fault::Refuse(status, code, message) => Some(refused(&request, Refusal(*status, code, message.clone()))),
            Fault::None | Fault::CutAfter => Some(match answered(&mut self.state, &request) {
                Ok(body) => (200, body),
                Err(refusal) => refused(&request, refusal),
            }),
        };
        (self.after)(&request, &mut self.state);
        answer.filter(|_| fault != Fault::CutAfter)
    }
}

fn answered(state: &mut State, request: &Request) -> Result<String, Refusal> {
    policy::check(state, request)?;
    // nothing of this account is in another region
    let mut elsewhere = State::new(&state.account);
    let state = if request.region == crate::aws::REGION { state } else { &mut elsewhere };
    match request.service.as_str() {
        "ec2" => ec2::answer(state, request),
        "autoscaling" => scaling::answer(state, request),
        "sts" if request.action == "GetCallerIdentity" => {
            let who = [
                text("Account", &state.account),
                text("Arn", format!("arn:aws:iam::{}:user/tester", state.account)),
                text("UserId", "AIDATESTER"),
            ];
            let result = element("GetCallerIdentityResult", who.concat());
            Ok(element("GetCallerIdentityResponse", result))
        }
        _ => Err(Refusal(400, "InvalidAction", format!("The action {} is not valid", request.action))),
    }
}

/// EC2's form of an error differs from that of all others.
fn refused(request: &Request, Refusal(status, code, message): Refusal) -> (u16, String) {
    let error = element("Error", text("Code", code) + &text("Message", message));
    let id = "11111111-2222-3333-4444-555555555555";
    let body = match request.service.as_str() {
        "ec2" => element("Response", element("Errors", error) + &text("RequestID", id)),
        _ => element("ErrorResponse", error + &text("RequestId", id)),
    };
    (status, body)
}
