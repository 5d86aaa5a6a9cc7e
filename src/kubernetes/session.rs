//! A connection to the API server, made from kubectl's flags and files.

use std::path::Path;
use std::time::Duration;

use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::error::explain;
use crate::cli::KubeFlags;
use crate::error::{Error, Result, chain};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client and the namespace that the flags or the kubeconfig name.
#[derive(Clone)]
pub struct Session {
    pub client: Client,
    pub namespace: String,
    /// The API server's URL, for messages.
    pub server: String,
    request_timeout: Option<Duration>,
}

impl Session {
    /// Reads the kubeconfig (or, in a pod, the ServiceAccount) and makes a client; contacts nobody.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when there is no usable configuration.
    pub async fn connect(flags: &KubeFlags) -> Result<Self> {
        Self::from_config(load(flags).await?, flags)
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
        Self::from_config(config, flags)
    }

    fn from_config(mut config: Config, flags: &KubeFlags) -> Result<Self> {
        override_by(&mut config, flags)?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // the default policy waits up to 1000 s between 15 tries: a person would take it for a hang
        config.default_retry = false;
        let (namespace, server) = (config.default_namespace.clone(), config.cluster_url.to_string());
        let client = Client::try_from(config).map_err(|error| explain(&error))?;
        let request_timeout = flags.request_timeout.filter(|timeout| !timeout.is_zero());
        Ok(Self { client, namespace, server, request_timeout })
    }

    /// Runs one request under `--request-timeout`, else under `default`.
    ///
    /// # Errors
    /// The request's, in kubectl's words, or [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut).
    pub async fn request<T>(&self, default: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T> {
        let limit = self.request_timeout.unwrap_or(default);
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map_err(|error| explain(&error)),
            Err(_) => Err(Error::timed_out(format!("no answer from the API server {} within {limit:?}", self.server))
                .hint("raise --request-timeout")),
        }
    }
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
    let named = options.context.is_some() || options.cluster.is_some() || options.user.is_some();
    let config = match &flags.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| unusable(&error))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(&error))?
        }
        None if named => Config::from_kubeconfig(&options).await.map_err(|error| unusable(&error))?,
        None => match Config::from_kubeconfig(&options).await {
            Ok(config) => config,
            Err(error) => match (Config::incluster(), &flags.server) {
                (Ok(config), _) => config,
                (Err(_), Some(server)) => Config::new(parse_server(server)?),
                (Err(_), None) => return Err(unusable(&error)),
            },
        },
    };
    Ok(config)
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
    url.parse().map_err(|_| Error::usage(format!("--server {text:?} is not a URL")))
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

fn unusable(error: &(dyn std::error::Error + 'static)) -> Error {
    Error::general(format!("no usable kubeconfig: {}", chain(error)))
        .hint("set KUBECONFIG or --kubeconfig; without Kubernetes, `get --from s3 --bucket NAME` needs none")
}
