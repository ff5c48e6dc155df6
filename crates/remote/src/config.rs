//! `remote.json` in a model's folder.

use serde::Deserialize;
use std::path::{Component, Path};
use std::time::Duration;
use tonic::transport::Uri;

/// The file's name.
pub const FILE: &str = "remote.json";

/// Most endpoints of an encoder.
const MAX_ENDPOINTS: usize = 64;

/// The encoders that a model server runs; the other one is in the model's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The text encoder.
    pub text: Option<EncoderConfig>,
    /// The image encoder.
    pub image: Option<EncoderConfig>,
}

/// Where an encoder is, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    /// URLs of a scheme, a host and a port. All addresses of a host's name are used.
    pub endpoints: Vec<String>,
    /// The name that the server has for the model.
    pub model: String,
    /// The version; the server's choice where it is empty.
    #[serde(default)]
    pub version: String,
    /// What is sent: of texts INT64 or INT32, of images FP32, FP16 or UINT8.
    #[serde(default)]
    pub datatype: Option<Datatype>,
    /// Largest request, in bytes.
    #[serde(default = "max_message_bytes")]
    pub max_message_bytes: u32,
    /// Requests that an endpoint is sent at a time.
    #[serde(default = "requests_in_flight")]
    pub requests_in_flight: u32,
    /// Longest time that connecting may take, in milliseconds.
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: u32,
    /// Longest time for the answer to a request, a second try included, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u32,
    /// PEM file with the certificates of authorities; those of the system where there is none.
    pub ca: Option<String>,
    /// PEM file with the client's certificate, and those of the authorities between.
    pub certificate: Option<String>,
    /// PEM file with the key of the client's certificate.
    pub key: Option<String>,
    /// File with a line `name: value` for each header that is sent along.
    pub headers: Option<String>,
}

/// Data types of the protocol that encoders take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)]
pub enum Datatype {
    #[serde(rename = "FP32")]
    Fp32,
    #[serde(rename = "FP16")]
    Fp16,
    #[serde(rename = "UINT8")]
    Uint8,
    #[serde(rename = "INT32")]
    Int32,
    #[serde(rename = "INT64")]
    Int64,
}

impl Datatype {
    /// The protocol's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "FP32",
            Self::Fp16 => "FP16",
            Self::Uint8 => "UINT8",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
        }
    }

    /// Bytes of a value.
    pub fn size(self) -> usize {
        match self {
            Self::Uint8 => 1,
            Self::Fp16 => 2,
            Self::Fp32 | Self::Int32 => 4,
            Self::Int64 => 8,
        }
    }
}

/// The default of gRPC's servers, MLServer's among them.
fn max_message_bytes() -> u32 {
    4 << 20
}

fn requests_in_flight() -> u32 {
    4
}

fn connect_timeout_ms() -> u32 {
    2_000
}

fn timeout_ms() -> u32 {
    30_000
}

impl Config {
    /// Reads and checks the text of `remote.json`, or says what is wrong with it. No other file is read.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if config.text.is_none() && config.image.is_none() {
            return Err("it has neither \"text\" nor \"image\"".to_owned());
        }
        let text_types = [Datatype::Int64, Datatype::Int32];
        let image_types = [Datatype::Fp32, Datatype::Fp16, Datatype::Uint8];
        for (name, encoder, types) in
            [("text", &config.text, &text_types[..]), ("image", &config.image, &image_types[..])]
        {
            let Some(encoder) = encoder else { continue };
            encoder.check(types).map_err(|reason| format!("{name}: {reason}"))?;
        }
        Ok(config)
    }

    /// The encoders that there are.
    pub fn encoders(&self) -> impl Iterator<Item = &EncoderConfig> {
        self.text.iter().chain(&self.image)
    }
}

impl EncoderConfig {
    fn check(&self, types: &[Datatype]) -> Result<(), String> {
        if self.endpoints.is_empty() || self.endpoints.len() > MAX_ENDPOINTS {
            return Err(format!("\"endpoints\" has {} URLs, not 1 to {MAX_ENDPOINTS}", self.endpoints.len()));
        }
        let mut is_secure = false;
        for endpoint in &self.endpoints {
            is_secure |= Address::parse(endpoint)?.is_secure;
        }
        if self.model.is_empty() {
            return Err("\"model\" is empty".to_owned());
        }
        if let Some(datatype) = self.datatype.filter(|datatype| !types.contains(datatype)) {
            let types: Vec<&str> = types.iter().map(|datatype| datatype.name()).collect();
            return Err(format!("\"datatype\" is {}, not {}", datatype.name(), types.join(" or ")));
        }
        for (name, value, range) in [
            ("max_message_bytes", self.max_message_bytes, 65_536..=i32::MAX as u32),
            ("requests_in_flight", self.requests_in_flight, 1..=256),
            ("connect_timeout_ms", self.connect_timeout_ms, 1..=60_000),
            ("timeout_ms", self.timeout_ms, 1..=3_600_000),
        ] {
            if !range.contains(&value) {
                return Err(format!("\"{name}\" is {value}, not {} to {}", range.start(), range.end()));
            }
        }
        for (name, file) in self.files() {
            let is_plain = |part| matches!(part, Component::Normal(_));
            if file.is_empty() || !Path::new(file).components().all(is_plain) {
                return Err(format!("\"{name}\" is \"{file}\", not the name of a file in the model's folder"));
            }
        }
        match (&self.certificate, &self.key) {
            (Some(_), None) => return Err("it has a \"certificate\" and no \"key\"".to_owned()),
            (None, Some(_)) => return Err("it has a \"key\" and no \"certificate\"".to_owned()),
            _ => {}
        }
        if !is_secure && (self.ca.is_some() || self.certificate.is_some()) {
            return Err("it has certificates, and no endpoint begins with https://".to_owned());
        }
        Ok(())
    }

    /// The keys that name a file, with its name.
    fn files(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let files =
            [("ca", &self.ca), ("certificate", &self.certificate), ("key", &self.key), ("headers", &self.headers)];
        files.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?)))
    }

    /// The ports of the endpoints.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.endpoints.iter().filter_map(|endpoint| Some(Address::parse(endpoint).ok()?.port))
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.into())
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms.into())
    }
}

/// The parts of an endpoint's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub host: String,
    pub port: u16,
    pub is_secure: bool,
}

impl Address {
    pub fn parse(url: &str) -> Result<Self, String> {
        let bad = || format!("endpoint \"{url}\" is not of the form http://host:port or https://host:port");
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let is_secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad()),
        };
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !url.contains('@');
        match (uri.host(), uri.port_u16()) {
            (Some(host), Some(port)) if is_bare && port > 0 && !host.is_empty() => {
                Ok(Self { host: host.to_owned(), port, is_secure })
            }
            _ => Err(bad()),
        }
    }

    /// The host without the brackets of an IPv6 address.
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub fn url(&self) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(encoder: &str) -> Result<Config, String> {
        Config::parse(format!(r#"{{"image": {{{encoder}}}}}"#).as_bytes())
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let config = parse(r#""endpoints": ["http://a:8001"], "model": "m""#).unwrap();
        let image = config.image.as_ref().unwrap();
        assert_eq!((image.max_message_bytes, image.requests_in_flight, image.version.as_str()), (4 << 20, 4, ""));
        assert_eq!(config.encoders().flat_map(EncoderConfig::ports).collect::<Vec<_>>(), [8001]);
        assert_eq!(config.text, None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let good = r#""endpoints": ["https://a:1"], "model": "m""#;
        parse(good).unwrap();
        for (encoder, said) in [
            (r#""endpoints": [], "model": "m""#.to_owned(), "image: \"endpoints\" has 0 URLs, not 1 to 64"),
            (r#""endpoints": ["a:1"], "model": "m""#.to_owned(), "\"a:1\" is not of the form"),
            (r#""endpoints": ["http://a"], "model": "m""#.to_owned(), "\"http://a\" is not of the form"),
            (r#""endpoints": ["http://a:1/v2"], "model": "m""#.to_owned(), "is not of the form"),
            (r#""endpoints": ["http://u:p@a:1"], "model": "m""#.to_owned(), "is not of the form"),
            (r#""endpoints": ["ftp://a:1"], "model": "m""#.to_owned(), "is not of the form"),
            (r#""endpoints": ["http://a:1"], "model": """#.to_owned(), "\"model\" is empty"),
            (format!(r#"{good}, "datatype": "INT64""#), "\"datatype\" is INT64, not FP32 or FP16 or UINT8"),
            (format!(r#"{good}, "datatype": "BF16""#), "unknown variant `BF16`"),
            (format!(r#"{good}, "max_message_bytes": 10"#), "\"max_message_bytes\" is 10, not 65536 to"),
            (format!(r#"{good}, "requests_in_flight": 0"#), "\"requests_in_flight\" is 0, not 1 to 256"),
            (format!(r#"{good}, "timeout": 1"#), "unknown field `timeout`"),
            (format!(r#"{good}, "ca": "../ca.pem""#), "\"ca\" is \"../ca.pem\", not the name of a file"),
            (format!(r#"{good}, "headers": "/etc/shadow""#), "not the name of a file in the model's folder"),
            (format!(r#"{good}, "key": "k.pem""#), "it has a \"key\" and no \"certificate\""),
            (r#""endpoints": ["http://a:1"], "model": "m", "ca": "c""#.to_owned(), "no endpoint begins with https://"),
        ] {
            let error = parse(&encoder).unwrap_err();
            assert!(error.contains(said), "{encoder}: {error}");
        }
        assert_eq!(Config::parse(b"{}").unwrap_err(), "it has neither \"text\" nor \"image\"");
        let text = r#"{"text": {"endpoints": ["http://a:1"], "model": "m", "datatype": "FP32"}}"#;
        assert!(Config::parse(text.as_bytes()).unwrap_err().contains("not INT64 or INT32"));
    }

    #[test]
    fn addresses_of_the_sixth_version() {
        let address = Address::parse("http://[::1]:8001").unwrap();
        assert_eq!((address.bare_host(), address.url().as_str()), ("::1", "http://[::1]:8001"));
    }
}
