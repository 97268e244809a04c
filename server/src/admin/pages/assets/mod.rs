//! The style, the script and the picture of pages, in the program. Their addresses change with them, so browsers keep them for ever.

use std::io::Write as _;
use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, VARY, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::visit::Look;

/// Bytes of the hash in an address.
const HASH: usize = 9;

/// The style of all pages.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("muster", "css", "text/css; charset=utf-8", include_str!("muster.css")));

/// The script of all pages, which work without it.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("muster", "js", "text/javascript; charset=utf-8", include_str!("muster.js")));

/// The module that shows all answers of a live query.
pub(super) static RESULTS: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("results", "js", "text/javascript; charset=utf-8", include_str!("results.js")));

/// The module that edits SQL and YAML, bundled by `make assets` of what stands in `server/assets/editor`.
pub(super) static EDITOR: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("editor", "js", "text/javascript; charset=utf-8", include_str!("editor.js")));

/// The picture of all pages in the browser's tabs.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("muster", "svg", "image/svg+xml", include_str!("muster.svg")));

/// A file that a browser loads.
#[derive(Debug)]
pub(super) struct Asset {
    address: String,
    content_type: &'static str,
    plain: &'static str,
    zipped: Vec<u8>,
}

impl Asset {
    fn new(name: &str, ending: &str, content_type: &'static str, plain: &'static str) -> Self {
        let hash = URL_SAFE_NO_PAD.encode(&Sha256::digest(plain)[..HASH]);
        let mut zip = GzEncoder::new(Vec::new(), Compression::best());
        let zipped = zip.write_all(plain.as_bytes()).and_then(|()| zip.finish()).unwrap_or_default();
        Self { address: format!("assets/{name}.{hash}.{ending}"), content_type, plain, zipped }
    }

    /// The address below `server.url_prefix`, without a slash before it.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

pub(super) async fn serve(request: HttpRequest, file: Path<String>) -> HttpResponse {
    let all = [&*STYLE, &*SCRIPT, &*RESULTS, &*EDITOR, &*ICON];
    let Some(asset) = all.into_iter().find(|asset| asset.address.strip_prefix("assets/") == Some(&**file)) else {
        return HttpResponse::NotFound().insert_header((CACHE_CONTROL, "no-store")).finish();
    };
    let mut response = HttpResponse::Ok();
    response
        .content_type(asset.content_type)
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .insert_header((VARY, "Accept-Encoding"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if !asset.zipped.is_empty() && Look::of(&request).is_some_and(|look| look.takes_gzip) {
        return response.insert_header((CONTENT_ENCODING, "gzip")).body(&asset.zipped[..]);
    }
    response.body(asset.plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_load_stays_small() {
        let zipped = |assets: &[&LazyLock<Asset>]| assets.iter().map(|asset| asset.zipped.len()).sum::<usize>();
        assert!(zipped(&[&STYLE, &SCRIPT, &ICON]) < 14_000, "{}", zipped(&[&STYLE, &SCRIPT, &ICON]));
        assert!(zipped(&[&RESULTS]) < 6_000, "{}", zipped(&[&RESULTS]));
        assert!(zipped(&[&EDITOR]) < 125_000, "{}", zipped(&[&EDITOR]));
    }
}
