//! A connection to the API server, made from kubectl's flags and files.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::error::{self, explain};
use super::flags::KubeFlags;
use super::patience::{self, Patience};
use crate::error::{Error, Result, chain};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Group and version of the CRD.
const OURS: &str = "etcd.database.coreos.com/v1beta2";

/// A client and the namespace that the flags or the kubeconfig name.
#[derive(Clone)]
pub struct Session {
    pub client: Client,
    pub namespace: String,
    /// The API server's URL, for messages.
    pub server: String,
    /// `--request-timeout`; zero means none.
    request_timeout: Option<Duration>,
    patience: Patience,
}

impl Session {
    /// Reads the kubeconfig (or, in a pod, the ServiceAccount) and makes a client. Contacts nobody, but runs the
    /// kubeconfig's credential plugin.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when there is no usable configuration;
    /// [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut) for a plugin that outlasts the flags' patience.
    pub async fn connect(flags: &KubeFlags) -> Result<Self> {
        Self::from_config(load(flags).await?, flags).await
    }

    /// As [`Session::connect`], but a credential plugin gets neither the terminal nor stderr.
    ///
    /// # Errors
    /// As [`Session::connect`].
    pub async fn connect_silently(flags: &KubeFlags) -> Result<Self> {
        let mut config = load(flags).await?;
        if let Some(plugin) = &mut config.auth_info.exec {
            plugin.interactive_mode = Some(ExecInteractiveMode::Never);
        }
        Self::from_config(config, flags).await
    }

    async fn from_config(mut config: Config, flags: &KubeFlags) -> Result<Self> {
        override_by(&mut config, flags)?;
        let (request_timeout, patience) = (flags.request_timeout, flags.patience.clone());
        if let Some(over) = patience.over().filter(|_| request_timeout.is_none()) {
            return Err(over);
        }
        config.connect_timeout = Some(request_timeout.unwrap_or(CONNECT_TIMEOUT)).filter(|limit| !limit.is_zero());
        // the default policy waits up to 1000 s between 15 tries: a person would take it for a hang
        config.default_retry = false;
        let (namespace, server) = (config.default_namespace.clone(), config.cluster_url.to_string());
        if let Some(plugin) = config.auth_info.exec.as_mut().filter(|_| patience.left().is_some() && !is_on_terminal())
        {
            // it would hold our stderr open when it outlasts us, and a pipeline would wait for it
            plugin.interactive_mode = Some(ExecInteractiveMode::Never);
        }
        let plugin = config.auth_info.exec.as_ref().and_then(|plugin| plugin.command.clone());
        let runs = config.auth_info.exec.is_some() || config.auth_info.auth_provider.is_some();
        // a person may need longer to log in, and sees what for
        let person = request_timeout.is_none() && !patience.is_strict() && is_on_terminal();
        let limit = patience.left().filter(|_| runs && !person && !is_zero(request_timeout));
        let limit = limit.map(|left| request_timeout.unwrap_or(left));
        let began = Instant::now();
        let Some(client) = client(config, limit).await else {
            patience.spend(began.elapsed(), false);
            return Err(patience.ran_out(no_login(plugin.as_deref(), request_timeout)));
        };
        patience.spend_on_login(began.elapsed());
        let client = client.map_err(|error| match (&error, plugin) {
            (kube::Error::Auth(_), Some(plugin)) => {
                explain(&error, &server).hint(format!("the kubeconfig logs in with {plugin:?}: is it on your PATH?"))
            }
            (kube::Error::Auth(_), None) => explain(&error, &server),
            _ => Error::general(format!("cannot use the kubeconfig and the flags: {}", chain(&error))),
        })?;
        Ok(Self { client, namespace, server, request_timeout, patience })
    }

    /// Runs one request under `--request-timeout`, else under `default` or what is left of the flags' patience.
    ///
    /// # Errors
    /// The request's, in kubectl's words, or [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut).
    pub async fn request<T>(&self, default: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T> {
        let (limit, told) = self.limit(default);
        let late = || {
            Error::timed_out(format!("no answer from the API server {} within {told:?}", self.server))
                .hint("raise --request-timeout")
        };
        if limit.is_zero() {
            return Err(self.patience.over().unwrap_or_else(late));
        }
        let began = Instant::now();
        let answer = tokio::time::timeout(limit, call).await;
        self.patience.spend(began.elapsed(), answer.as_ref().is_ok_and(error::is_answer));
        match answer {
            Ok(Err(error)) if error::is_unknown_path(&error) => {
                Err(self.unknown_path(&error, self.limit(default).0).await)
            }
            Ok(answer) => answer.map_err(|error| explain(&error, &self.server)),
            Err(_) => Err(self.patience.ran_out(late())),
        }
    }

    /// The time for a request, and what to call it: a person knows nothing of earlier requests.
    fn limit(&self, default: Duration) -> (Duration, Duration) {
        match (self.request_timeout, self.patience.left()) {
            (Some(Duration::ZERO), _) => (Duration::MAX, Duration::MAX),
            (Some(limit), _) => (limit, limit),
            (None, Some(left)) if left < default => (left, patience::TOTAL.min(default)),
            (None, _) => (default, default),
        }
    }

    /// Why a path is not known: no Kubernetes, no CRD of ours, or else something that only the error tells.
    async fn unknown_path(&self, error: &kube::Error, limit: Duration) -> Error {
        let explained = explain(error, &self.server);
        let asked = async {
            if !error::is_kubernetes(&self.client.apiserver_version().await) {
                return error::stranger(&self.server, "it knows no /version");
            }
            match self.client.list_api_group_resources(OURS).await {
                Ok(list) if list.resources.iter().any(|found| found.name == "etcdbackups") => explained.clone(),
                Ok(_) => error::no_crd(),
                Err(missing) if error::is_unknown_path(&missing) => error::no_crd(),
                Err(_) => explained.clone(),
            }
        };
        tokio::time::timeout(limit, asked).await.unwrap_or(explained)
    }
}

/// Makes the client, which runs the credential plugin and waits for it; `None` when that takes longer than `limit`.
/// A plugin that is late is left to itself: it may be waiting for a person.
async fn client(config: Config, limit: Option<Duration>) -> Option<kube::Result<Client>> {
    // a plugin that hangs would keep signals from being heard
    let made = tokio::task::spawn_blocking(move || Client::try_from(config));
    let made = async { made.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic())) };
    match limit {
        Some(limit) => tokio::time::timeout(limit, made).await.ok(),
        None => Some(made.await),
    }
}

fn no_login(plugin: Option<&str>, request_timeout: Option<Duration>) -> Error {
    let (plugin, limit) = (plugin.unwrap_or("auth-provider"), request_timeout.unwrap_or(patience::TOTAL));
    Error::timed_out(format!("cannot log in to the cluster: credential plugin {plugin:?} did not end within {limit:?}"))
        .hint("raise --request-timeout if it waits for you")
}

/// Whether a person could answer a credential plugin.
fn is_on_terminal() -> bool {
    std::io::stdin().is_terminal()
}

fn is_zero(timeout: Option<Duration>) -> bool {
    timeout.is_some_and(|timeout| timeout.is_zero())
}

/// The kubeconfig of the flags, else of the environment, where it can be read; contacts nobody.
pub fn kubeconfig(flags: &KubeFlags) -> Option<Kubeconfig> {
    let read = match &flags.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    read.ok()
}

/// The namespace that the flags or the kubeconfig name, else `default`; contacts nobody and runs nothing.
pub fn namespace(flags: &KubeFlags) -> String {
    let of_context = || {
        let kubeconfig = kubeconfig(flags)?;
        let current = flags.context.clone().or(kubeconfig.current_context)?;
        kubeconfig.contexts.into_iter().find(|context| context.name == current)?.context?.namespace
    };
    flags.namespace.clone().or_else(of_context).unwrap_or_else(|| "default".to_owned())
}

async fn load(flags: &KubeFlags) -> Result<Config> {
    let options = KubeConfigOptions {
        context: flags.context.clone(),
        cluster: flags.kube_cluster.clone(),
        user: flags.user.clone(),
    };
    let read = match &flags.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let found = match read {
        Ok(kubeconfig) => {
            known_user(&kubeconfig, options.user.as_deref())?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await
        }
        Err(error) => Err(error),
    };
    let named = flags.kubeconfig.is_some() || options.context.or(options.cluster).or(options.user).is_some();
    match (found, &flags.server) {
        (Ok(config), _) => Ok(config),
        (Err(error), _) if named => Err(unusable(&error)),
        (Err(error), server) => match (Config::incluster(), server) {
            (Ok(config), _) => Ok(config),
            (Err(_), Some(server)) => Ok(Config::new(parse_server(server)?)),
            (Err(_), None) => Err(unusable(&error)),
        },
    }
}

/// Refuses a user that is not there: kube would go on as nobody.
fn known_user(kubeconfig: &Kubeconfig, user: Option<&str>) -> Result<()> {
    match user {
        Some(user) if !kubeconfig.auth_infos.iter().any(|known| known.name == user) => {
            Err(Error::general(format!("auth info {user:?} does not exist")).hint("kubectl config get-users"))
        }
        _ => Ok(()),
    }
}

fn override_by(config: &mut Config, flags: &KubeFlags) -> Result<()> {
    if let Some(server) = &flags.server {
        config.cluster_url = parse_server(server)?;
    }
    if let Some(namespace) = &flags.namespace {
        config.default_namespace.clone_from(namespace);
    }
    if flags.insecure_skip_tls_verify {
        config.accept_invalid_certs = true;
    }
    if let Some(name) = &flags.tls_server_name {
        config.tls_server_name = Some(name.clone());
    }
    if let Some(path) = &flags.certificate_authority {
        config.root_cert = Some(pem_certificates(path)?);
        config.root_cert_file = None;
    }
    let auth = &mut config.auth_info;
    if let Some(token) = &flags.token {
        auth.token = Some(token.clone().into());
        auth.token_file = None;
    }
    let text = |path: &Path| path.to_string_lossy().into_owned();
    if let Some(path) = &flags.client_certificate {
        (auth.client_certificate, auth.client_certificate_data) = (Some(text(path)), None);
    }
    if let Some(path) = &flags.client_key {
        (auth.client_key, auth.client_key_data) = (Some(text(path)), None);
    }
    if flags.as_user.is_some() {
        auth.impersonate.clone_from(&flags.as_user);
    }
    if flags.as_uid.is_some() {
        auth.impersonate_uid.clone_from(&flags.as_uid);
    }
    if !flags.as_group.is_empty() {
        auth.impersonate_groups = Some(flags.as_group.clone());
    }
    Ok(())
}

fn parse_server(text: &str) -> Result<http::Uri> {
    let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let wrong = || Error::usage(format!("--server {text:?} is not a URL such as https://10.0.0.1:6443"));
    let uri: http::Uri = url.parse().map_err(|_| wrong())?;
    if matches!(uri.scheme_str(), Some("http" | "https")) { Ok(uri) } else { Err(wrong()) }
}

fn pem_certificates(path: &Path) -> Result<Vec<Vec<u8>>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let shown = path.display();
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(|found| found.map(|one| one.map(|der| der.to_vec())).collect::<Result<Vec<_>, _>>())
        .map_err(|error| Error::usage(format!("cannot read --certificate-authority {shown}: {error}")))?;
    if certificates.is_empty() {
        return Err(Error::usage(format!("--certificate-authority {shown} holds no certificate")));
    }
    Ok(certificates)
}

fn unusable(error: &KubeconfigError) -> Error {
    match error {
        KubeconfigError::LoadContext(name) => {
            Error::general(format!("context {name:?} does not exist")).hint("kubectl config get-contexts")
        }
        KubeconfigError::LoadClusterOfContext(name) => {
            Error::general(format!("cluster {name:?} does not exist")).hint("kubectl config get-clusters")
        }
        KubeconfigError::CurrentContextNotSet => Error::general("the kubeconfig sets no current-context")
            .hint("kubectl config use-context NAME, or pass --context NAME"),
        KubeconfigError::ReadConfig(cause, path) => {
            Error::general(format!("cannot read kubeconfig {}: {cause}", path.display())).hint(WITHOUT)
        }
        other => {
            let text = chain(other);
            // below the first line the parser draws where in the file it was
            let line = text.lines().next().unwrap_or_default();
            Error::general(format!("no usable kubeconfig: {line}")).hint(WITHOUT)
        }
    }
}

const WITHOUT: &str = "set KUBECONFIG or --kubeconfig";
