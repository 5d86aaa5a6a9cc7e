//! A request of the Query protocol: a form in a POST.

use std::collections::BTreeMap;

use super::Refusal;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `ec2`, `autoscaling` or `sts`, as it was signed for.
    pub service: String,
    pub action: String,
    /// The region that it was signed for.
    pub region: String,
    /// Counts all requests from 1.
    pub number: usize,
    parameters: BTreeMap<String, String>,
}

impl Request {
    pub fn parse(head: &str, body: &str, number: usize) -> Self {
        let parameters: BTreeMap<_, _> = body
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        // Credential=ID/DATE/REGION/SERVICE/aws4_request
        let scope = head.split_once("Credential=").map_or("", |(_, rest)| rest.split(',').next().unwrap_or_default());
        let mut scope = scope.split('/').skip(2).map(str::to_owned);
        let (region, service) = (scope.next().unwrap_or_default(), scope.next().unwrap_or_default());
        let action = parameters.get("Action").cloned().unwrap_or_default();
        Self { service, action, region, number, parameters }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    pub fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    pub fn number(&self, name: &str) -> Option<i32> {
        self.get(name)?.parse().ok()
    }

    /// `prefix.1`, `prefix.2`, …
    pub fn list(&self, prefix: &str) -> Vec<String> {
        (1..).map_while(|n| self.get(&format!("{prefix}.{n}")).map(str::to_owned)).collect()
    }

    /// `prefix.1.Key` with `prefix.1.Value`, which may be left out, and so on.
    pub fn pairs(&self, prefix: &str) -> Vec<(String, Option<String>)> {
        let value = |n| self.get(&format!("{prefix}.{n}.Value")).map(str::to_owned);
        (1..).map_while(|n| Some((self.get(&format!("{prefix}.{n}.Key"))?.to_owned(), value(n)))).collect()
    }

    /// The same as tags.
    pub fn tags(&self, prefix: &str) -> BTreeMap<String, String> {
        self.pairs(prefix).into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()
    }

    /// The names and values of filters: `Filter` and `Value` for EC2, `Filters.member` and `Values.member` else.
    pub fn filters(&self, prefix: &str, value: &str) -> Vec<(String, Vec<String>)> {
        let values = |n: usize| self.list(&format!("{prefix}.{n}.{value}"));
        (1..).map_while(|n| Some((self.get(&format!("{prefix}.{n}.Name"))?.to_owned(), values(n)))).collect()
    }

    /// Ends a request that only asks whether it would be allowed: after all checks, before any change.
    pub fn not_dry(&self) -> Result<(), Refusal> {
        match self.is("DryRun", "true") {
            true => {
                let message = "Request would have succeeded, but DryRun flag is set.";
                Err(Refusal(412, "DryRunOperation", message.to_owned()))
            }
            false => Ok(()),
        }
    }
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        let hex = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(hex(&[*high, *low]).unwrap());
                rest = after;
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).unwrap()
}
