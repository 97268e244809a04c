use std::path::PathBuf;

use super::section::section;
use super::value::Secret;

section! {
    /// A bucket of an S3-compatible store for the contents of carves, with Fleet's keys.
    "s3" S3 {
        /// Bucket for the contents of carves, which all nodes use. Empty: they are files in carves.dir.
        bucket: String = String::new(),
        /// What the names of all objects begin with, such as carves/; no other installation may use the same.
        prefix: String = String::new(),
        /// Region. Empty: us-east-1.
        region: String = String::new(),
        /// Access key. Roles of the cloud (instance profiles, web identities, STS) are not used.
        access_key_id: String = String::new(),
        /// Secret of the access key.
        secret_access_key: Secret = Secret::default(),
        /// File that contains the secret.
        secret_access_key_path: Option<PathBuf> = None,
        /// URL of a store that is not Amazon's, such as https://minio.example.com:9000. Empty: Amazon S3 in the region.
        endpoint_url: String = String::new(),
        /// Use HTTP if s3.endpoint_url does not say which: keys are not sent, but contents can be read on the way.
        disable_ssl: bool = false,
        /// Name the bucket in the path of URLs rather than in the name of the host, as most stores expect that are not Amazon's.
        force_s3_path_style: bool = false,
        /// CA certificates (PEM) to trust, or the certificate of the store itself. Empty: trust the CAs of the system.
        tls_ca: Option<PathBuf> = None,
    }
}

impl S3 {
    /// Whether the contents of carves are there.
    pub fn is_on(&self) -> bool {
        !self.bucket.is_empty()
    }

    pub fn region(&self) -> &str {
        if self.region.is_empty() { "us-east-1" } else { &self.region }
    }

    /// Where the store is.
    pub fn url(&self) -> String {
        let scheme = if self.disable_ssl { "http" } else { "https" };
        match self.endpoint_url.trim_end_matches('/') {
            "" => format!("{scheme}://s3.{}.amazonaws.com", self.region()),
            url if url.contains("://") => url.to_owned(),
            host => format!("{scheme}://{host}"),
        }
    }

    /// The secret, read from `secret_access_key_path` if that is set.
    ///
    /// # Errors
    /// If the file cannot be read; the text begins with the key.
    pub fn secret(&self) -> Result<Secret, String> {
        let Some(path) = &self.secret_access_key_path else { return Ok(self.secret_access_key.clone()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("s3.secret_access_key_path: {} cannot be read: {error}", path.display()))?;
        Ok(Secret::new(text.trim_end_matches(['\n', '\r'])))
    }

    /// Problems with the values; each begins with the dotted key.
    pub(super) fn contradictions(&self) -> Vec<String> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut problems = Vec::new();
        let mut refuse = |is_wrong: bool, problem: &str| {
            if is_wrong {
                problems.push(format!("s3.{problem}"));
            }
        };
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte));
        refuse(!is_word(&self.bucket) || self.bucket.contains('/'), "bucket: expects letters, digits, dots and dashes");
        refuse(!is_word(&self.prefix), "prefix: expects letters, digits, dots, dashes and slashes");
        refuse(self.access_key_id.is_empty(), "access_key_id: needed; roles of the cloud are not used");
        let has_secret = !self.secret_access_key.is_empty();
        refuse(
            !has_secret && self.secret_access_key_path.is_none(),
            "secret_access_key: set it, or secret_access_key_path",
        );
        refuse(
            has_secret && self.secret_access_key_path.is_some(),
            "secret_access_key: set either secret_access_key or secret_access_key_path, not both",
        );
        problems.extend(self.secret().err());
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_amazons_unless_another_is_named() {
        let at = |endpoint_url: &str, disable_ssl| {
            S3 { endpoint_url: endpoint_url.to_owned(), disable_ssl, region: "eu-west-1".to_owned(), ..S3::default() }
                .url()
        };
        assert_eq!(at("", false), "https://s3.eu-west-1.amazonaws.com");
        assert_eq!(at("minio:9000", true), "http://minio:9000");
        assert_eq!(at("minio:9000", false), "https://minio:9000");
        assert_eq!(at("https://store.example.com/", true), "https://store.example.com");
        assert_eq!(S3::default().url(), "https://s3.us-east-1.amazonaws.com");
    }

    #[test]
    fn a_bucket_needs_keys_and_a_plain_name() {
        assert_eq!(S3::default().contradictions(), Vec::<String>::new());
        let wrong = S3 { bucket: "no bucket".to_owned(), prefix: "a b".to_owned(), ..S3::default() };
        assert_eq!(wrong.contradictions().len(), 4, "{:?}", wrong.contradictions());
        let right = S3 {
            bucket: "carves".to_owned(),
            access_key_id: "key".to_owned(),
            secret_access_key: Secret::new("only-for-tests"),
            ..S3::default()
        };
        assert_eq!(right.contradictions(), Vec::<String>::new());
        let path = S3 { secret_access_key_path: Some("no/such/file".into()), ..right.clone() };
        assert_eq!(path.contradictions().len(), 2, "{:?}", path.contradictions());
        assert!(!format!("{right:?}").contains("only-for-tests"));
    }
}
