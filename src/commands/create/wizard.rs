//! The questions of `create` on a terminal: what is missing is asked for, turned into flags, and then done as if
//! the flags had been given.

mod answers;
mod lookup;
mod prompt;

use std::ffi::OsString;
use std::io::{self, IsTerminal};

use kube::api::DynamicObject;

use super::credentials::{Objects, SECRET};
use super::{Args, plan};
use crate::cli::output;
use crate::cli::{KubeFlags, Ui};
use crate::error::{Error, Result};
use crate::kubernetes::DryRun;
use crate::kubernetes::Session;
use answers::{Access, Answers};

/// The arguments with the answers in them.
pub(super) struct Asked {
    pub args: Args,
    /// The command line that does the same without questions.
    pub command: String,
}

/// Whether something is missing and there is somebody to ask.
pub(super) fn is_needed(args: &Args) -> bool {
    let missing = lacks_cluster(args) || lacks_bucket(args);
    missing && io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn lacks_cluster(args: &Args) -> bool {
    args.cluster.is_none() && !args.kubeadm
}

fn lacks_bucket(args: &Args) -> bool {
    args.s3.bucket.is_none() && args.s3.path.is_none() && !args.storage.is_volume()
}

fn lacks_access(args: &Args) -> bool {
    let given = args.secret.is_some() || args.ambient || args.with_credentials || args.from.given();
    !given && !args.storage.is_volume()
}

/// Asks for what is missing. With `--dry-run=client` nobody is contacted for suggestions.
///
/// # Errors
/// [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted) after Ctrl-C, Escape or a signal; usage errors of
/// flags and answers together.
pub(super) async fn complete(args: &Args, kube: &KubeFlags, ui: &Ui) -> Result<Asked> {
    // what no answer can mend is told before anything is asked
    plan::check(args)?;
    let given: Vec<OsString> = std::env::args_os().skip(1).collect();
    let session = match args.dry_run {
        DryRun::Client => None,
        DryRun::None | DryRun::Server => Some(Session::connect(kube).await?),
    };
    let check = |answer: Answers| answers::check(&given, &answer);
    let mut answers = Answers::default();
    if lacks_cluster(args) {
        answers.cluster = Some(ask_cluster(session.as_ref()).await?);
    }
    if lacks_access(args) {
        answers.access = Some(ask_access(session.as_ref(), &check).await?);
    }
    if lacks_bucket(args) {
        let known = match &session {
            Some(session) => lookup::buckets(args, answers.access.as_ref(), session, ui).await,
            None => Vec::new(),
        };
        let bucket = |text: &str| check(Answers { bucket: Some(text.to_owned()), ..Answers::default() });
        answers.bucket = Some(prompt::one_of("Bucket", &known, "another bucket", bucket)?);
        if args.s3.prefix.is_none() {
            let prefix = |text: &str| check(Answers { prefix: Some(text.to_owned()), ..Answers::default() });
            answers.prefix = Some(prompt::text("Prefix in the bucket (Enter for none)", prefix)?);
        }
    }
    if !args.policy.repeats() && !args.wait {
        ask_schedule(args, &check, &mut answers)?;
    }
    let args = answers::args(&given, &answers)?;
    Ok(Asked { args, command: answers::command_line(&given, &answers) })
}

async fn ask_cluster(session: Option<&Session>) -> Result<String> {
    let known = match session {
        Some(session) => lookup::clusters(session).await,
        None => Vec::new(),
    };
    let check = |name: &str| crate::api::names::check_cluster_name(name);
    prompt::one_of("etcd cluster", &known, "another cluster", check)
}

async fn ask_access(session: Option<&Session>, check: &impl Fn(Answers) -> Result<()>) -> Result<Access> {
    let known = match session {
        Some(session) => lookup::secrets(session).await,
        None => Vec::new(),
    };
    let mut items: Vec<String> = known.iter().map(|name| format!("Secret {name}")).collect();
    items.push("a Secret of another name".to_owned());
    items.push(format!("make Secret {SECRET} from a profile of my AWS files"));
    items.push("no keys: IRSA, Pod Identity or an instance role".to_owned());
    let chosen = prompt::choose("AWS credentials of the backup", &items)?;
    if let Some(name) = known.get(chosen) {
        return Ok(Access::Secret(name.clone()));
    }
    let check = |access: Access| check(Answers { access: Some(access), ..Answers::default() });
    match chosen - known.len() {
        0 => prompt::text("Name of the Secret", |name| match name {
            "" => Err(Error::usage("must not be empty")),
            name => check(Access::Secret(name.to_owned())),
        })
        .map(Access::Secret),
        1 => prompt::text("AWS profile (Enter for default)", |name| check(Access::Profile(name.to_owned())))
            .map(Access::Profile),
        _ => Ok(Access::Ambient),
    }
}

fn ask_schedule(args: &Args, check: &impl Fn(Answers) -> Result<()>, answers: &mut Answers) -> Result<()> {
    let items = ["once, now", "every hour", "every day"].map(str::to_owned);
    answers.every = match prompt::choose("How often", &items)? {
        1 => Some("1h"),
        2 => Some("24h"),
        _ => return Ok(()),
    };
    if args.policy.keeps_all() {
        let keep = |text: &str| check(Answers { keep: Some(text.to_owned()), ..Answers::default() });
        answers.keep = Some(prompt::text("Snapshots to keep (Enter for all)", keep)?);
    }
    Ok(())
}

/// Shows what will be sent and asks whether to; then tells the command line.
///
/// # Errors
/// [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted) after a no, Ctrl-C, Escape or a signal.
pub(super) fn confirm(backup: &DynamicObject, credentials: Option<&Objects>, command: &str, ui: &Ui) -> Result<()> {
    let mut preview = output::to_yaml(backup)?;
    if let Some(objects) = credentials {
        preview.push_str(&format!("# and, with keys that are not shown: {}\n", objects.names().join(", ")));
    }
    prompt::show(&preview)?;
    if !prompt::yes("Create it?")? {
        return Err(Error::interrupted("nothing was made"));
    }
    ui.say("The same without questions:");
    ui.say(format!("  {command}"));
    Ok(())
}
