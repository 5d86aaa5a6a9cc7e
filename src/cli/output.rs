//! `-o`: objects as kubectl prints them.

use clap::ValueEnum;
use serde::Serialize;

use crate::error::{Error, Result};

/// How to print an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Yaml,
    Json,
    Name,
}

/// How to print a table, or what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    Wide,
    Yaml,
    Json,
    Name,
}

/// How to print what is no Kubernetes object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    Yaml,
    Json,
}

impl DocumentFormat {
    /// `value` in this format.
    ///
    /// # Errors
    /// As [`to_yaml`].
    pub fn text(self, value: &impl Serialize) -> Result<String> {
        match self {
            Self::Yaml => to_yaml(value),
            Self::Json => to_json(value),
        }
    }
}

/// `object` as a value, to be printed with others.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when it cannot be serialised.
pub fn to_value(object: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(object).map_err(|error| unprintable(&error))
}

/// `object` as YAML, keys in alphabetical order as kubectl prints them.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when it cannot be serialised.
pub fn to_yaml(object: &impl Serialize) -> Result<String> {
    let value = to_value(object)?;
    // kubectl wraps nothing, and the data of a Secret is one long line
    let options = serde_yaml::ser_options! { folded_wrap_chars: usize::MAX };
    serde_yaml::to_string_with_options(&value, options).map_err(|error| unprintable(&error))
}

/// `object` as JSON, indented by four spaces as kubectl prints it.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when it cannot be serialised.
pub fn to_json(object: &impl Serialize) -> Result<String> {
    let value = to_value(object)?;
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    value.serialize(&mut serializer).map_err(|error| unprintable(&error))?;
    String::from_utf8(bytes).map_err(|error| unprintable(&error))
}

/// Objects in the format that was asked for; more than one as a YAML stream or as a JSON List.
///
/// # Errors
/// As [`to_yaml`].
pub fn objects(values: &[serde_json::Value], names: &[String], format: OutputFormat) -> Result<String> {
    match (format, values) {
        (OutputFormat::Yaml, _) => to_yaml_stream(values),
        (OutputFormat::Json, [one]) => to_json(one),
        (OutputFormat::Json, many) => to_json(&serde_json::json!({"apiVersion": "v1", "items": many, "kind": "List"})),
        (OutputFormat::Name, _) => Ok(names.join("\n")),
    }
}

/// Several objects as one YAML stream.
///
/// # Errors
/// As [`to_yaml`].
pub fn to_yaml_stream(objects: &[serde_json::Value]) -> Result<String> {
    let documents: Vec<String> = objects.iter().map(to_yaml).collect::<Result<_>>()?;
    Ok(documents.join("---\n"))
}

fn unprintable(error: &dyn std::error::Error) -> Error {
    Error::general(format!("cannot print the object: {error}"))
}
